import { basename, join, resolve } from 'node:path';
import { Type } from 'typebox';
import { OctavoError } from '../../engine/errors.js';
import type { TokenId } from '../../scheduler/ids.js';
import { ChatTemplate } from './chat-template.js';
import { loadTokenizer } from './hf-tokenizer.js';
import {
  readModelJson,
  readModelText,
  SpecialTokenSchema,
  specialTokenText,
} from './model-files.js';
import type { Tokenizer } from './tokenizer.js';

/** All that the server knows of a model besides running it: names, text and defaults. */
export interface ServedModel {
  /** The names it answers to; the first is the one in responses. */
  readonly names: readonly [string, ...string[]];
  readonly tokenizer: Tokenizer;
  readonly chatTemplate: ChatTemplate | null;
  /** Tokens that end a text. */
  readonly eosTokenIds: readonly TokenId[];
  readonly defaultTemperature: number;
  readonly defaultTopP: number;
}

const EosSchema = Type.Optional(
  Type.Union([Type.Integer(), Type.Array(Type.Integer()), Type.Null()]),
);

const ConfigSchema = Type.Object({
  max_position_embeddings: Type.Optional(Type.Integer({ minimum: 1 })),
  vocab_size: Type.Optional(Type.Integer({ minimum: 1 })),
  eos_token_id: EosSchema,
});

const GenerationSchema = Type.Object({
  eos_token_id: EosSchema,
  do_sample: Type.Optional(Type.Boolean()),
  temperature: Type.Optional(Type.Union([Type.Number({ minimum: 0 }), Type.Null()])),
  top_p: Type.Optional(Type.Union([Type.Number({ exclusiveMinimum: 0, maximum: 1 }), Type.Null()])),
});

const NamedTemplates = Type.Array(Type.Object({ name: Type.String(), template: Type.String() }));

const TokenizerConfigSchema = Type.Object({
  chat_template: Type.Optional(Type.Union([Type.String(), NamedTemplates, Type.Null()])),
  bos_token: Type.Optional(SpecialTokenSchema),
  eos_token: Type.Optional(SpecialTokenSchema),
});

/**
 * Reads the text side of a model directory.
 *
 * @param names what the model is called; empty for the directory's own name
 * @throws OctavoError `model_file_missing`, `model_file_corrupt`, naming the file
 */
export async function loadServedModel(dir: string, names: readonly string[]): Promise<ServedModel> {
  const config = await readModelJson(dir, 'config.json', ConfigSchema, { required: true });
  const tokenizer = await loadTokenizer(dir);
  const generation = await readModelJson(dir, 'generation_config.json', GenerationSchema, {
    required: false,
  });
  const text = await readModelJson(dir, 'tokenizer_config.json', TokenizerConfigSchema, {
    required: true,
  });
  const eosToken = specialTokenText(text?.eos_token);
  const eosOfTokenizer = eosToken === '' ? undefined : tokenizer.tokenId(eosToken);
  const eos = [config?.eos_token_id, generation?.eos_token_id, eosOfTokenizer].flat();
  const eosTokenIds = [...new Set(eos.filter((id) => id !== undefined && id !== null))];
  const sampled = generation?.do_sample === true ? generation : null;
  const [first = basename(resolve(dir)), ...others] = names;
  return {
    names: [first, ...others],
    tokenizer,
    chatTemplate: await loadChatTemplate(dir, text?.chat_template, {
      bosToken: specialTokenText(text?.bos_token),
      eosToken,
    }),
    eosTokenIds: eosTokenIds as TokenId[],
    defaultTemperature: sampled?.temperature ?? 1,
    defaultTopP: sampled?.top_p ?? 1,
  };
}

/** `chat_template.jinja` is the newer place and wins; of several named templates, `default` is taken, and `tool_use` with tools. */
async function loadChatTemplate(
  dir: string,
  inConfig: string | { name: string; template: string }[] | null | undefined,
  tokens: { bosToken: string; eosToken: string },
): Promise<ChatTemplate | null> {
  const file = await readModelText(dir, 'chat_template.jinja', { required: false });
  if (file !== null) return new ChatTemplate(file, join(dir, 'chat_template.jinja'), tokens);
  if (inConfig === null || inConfig === undefined) return null;
  const path = join(dir, 'tokenizer_config.json');
  if (typeof inConfig === 'string') return new ChatTemplate(inConfig, path, tokens);
  const named = inConfig.find(({ name }) => name === 'default');
  if (!named) {
    throw new OctavoError('model_file_corrupt', `${path} has no chat template named default`, {
      param: path,
    });
  }
  const forTools = inConfig.find(({ name }) => name === 'tool_use');
  return new ChatTemplate(named.template, path, tokens, forTools?.template);
}
