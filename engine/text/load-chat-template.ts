import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Type } from 'typebox';
import { clip } from '../clip.js';
import { OctavoError } from '../errors.js';
import { ChatTemplate } from './chat-template.js';
import { readModelJson, readModelText } from './model-files.js';

/** The field `chat_template` of `tokenizer_config.json`: one template, or several with names. */
export type TemplateField =
  | string
  | readonly { readonly name: string; readonly template: string }[]
  | null
  | undefined;

/** Where processors of text and images had their template until transformers 4.52. */
const PROCESSOR_TEMPLATE = 'chat_template.json';
const ProcessorTemplateSchema = Type.Object({ chat_template: Type.String() });

interface TemplateTexts {
  readonly bosToken: string;
  readonly eosToken: string;
}

interface Source {
  readonly text: string;
  /** File that it comes from, for messages. */
  readonly path: string;
}

/**
 * The chat template of a model: its own `default`, and its `tool_use`, if any, for requests with
 * tools. The one that `--chat-template` names replaces both.
 *
 * @param chosen a file, or the name of one of the model's own templates; null for the model's
 *   default
 * @returns null when the model has none
 * @throws OctavoError `usage` when `chosen` is neither; `model_file_corrupt`
 */
export async function loadChatTemplate(
  dir: string,
  inConfig: TemplateField,
  tokens: TemplateTexts,
  chosen: string | null,
): Promise<ChatTemplate | null> {
  const own = await templatesOf(dir, inConfig);
  if (chosen !== null) {
    const { text, path } = own.get(chosen) ?? (await readChosen(chosen, [...own.keys()]));
    return new ChatTemplate(text, path, tokens);
  }
  if (own.size === 0) return null;
  const standard = own.get('default');
  if (standard) {
    const { text, path } = standard;
    return new ChatTemplate(text, path, tokens, own.get('tool_use')?.text);
  }
  const names = [...own.keys()].join(', ');
  const path = join(dir, 'tokenizer_config.json');
  throw new OctavoError(
    'model_file_corrupt',
    `${path} has no chat template named default: choose one of ${names} by --chat-template`,
    { param: path },
  );
}

/**
 * Templates by name. `chat_template.jinja` and the folder next to it are newer places, and take
 * precedence.
 */
async function templatesOf(dir: string, inConfig: TemplateField): Promise<Map<string, Source>> {
  const sources = new Map<string, Source>();
  const config = join(dir, 'tokenizer_config.json');
  if (typeof inConfig === 'string') sources.set('default', { text: inConfig, path: config });
  else for (const of of inConfig ?? []) sources.set(of.name, { text: of.template, path: config });
  const processor = await readModelJson(dir, PROCESSOR_TEMPLATE, ProcessorTemplateSchema, {
    required: false,
  });
  if (processor) {
    sources.set('default', { text: processor.chat_template, path: join(dir, PROCESSOR_TEMPLATE) });
  }
  const others = await readdir(join(dir, 'additional_chat_templates')).catch(() => []);
  const files = others
    .filter((file) => file.endsWith('.jinja'))
    .map((file) => [file.slice(0, -'.jinja'.length), join('additional_chat_templates', file)]);
  for (const [name, file] of [['default', 'chat_template.jinja'], ...files]) {
    const text = await readModelText(dir, file, { required: false });
    if (text !== null) sources.set(name, { text, path: join(dir, file) });
  }
  return sources;
}

async function readChosen(path: string, names: readonly string[]): Promise<Source> {
  try {
    return { text: await readFile(path, 'utf8'), path };
  } catch (cause) {
    const own = names.length === 0 ? 'it has none' : names.join(', ');
    throw new OctavoError(
      'usage',
      `--chat-template ${clip(path)}: must be a file that can be read, or one of the model's own templates: ${own}`,
      { param: '--chat-template', cause },
    );
  }
}
