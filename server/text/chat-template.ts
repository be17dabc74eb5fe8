import { Template } from '@huggingface/jinja';
import { OctavoError } from '../../engine/errors.js';
import { clip } from './clip.js';

/** One turn, as templates expect it: the content is a text. Further fields are passed through. */
export interface TemplateMessage {
  readonly role: string;
  readonly content: string | null;
  readonly [field: string]: unknown;
}

export interface RenderOptions {
  /** Function tools in OpenAI's form. */
  readonly tools?: readonly object[] | null;
  readonly addGenerationPrompt?: boolean;
  /** Further variables, such as `enable_thinking`; none of `RESERVED_VARIABLES`. */
  readonly variables?: Readonly<Record<string, unknown>>;
}

/** Variables of a template that are the server's to set. */
export const RESERVED_VARIABLES: readonly string[] = [
  'messages',
  'tools',
  'add_generation_prompt',
  'bos_token',
  'eos_token',
];

const PROBE_TOOL = {
  type: 'function',
  function: {
    name: 'octavo_probe',
    description: 'probe',
    parameters: { type: 'object', properties: {} },
  },
};

/** A chat template in the Hugging Face form (Jinja), parsed once. */
export class ChatTemplate {
  /** The text of all of it, for recognising what a model is used to. */
  readonly source: string;
  readonly #template: Template;
  /** Some models have a second template for conversations with tools. */
  readonly #toolTemplate: Template;
  readonly #tokens: { readonly bos_token: string; readonly eos_token: string };
  #takesTools: boolean | null = null;

  /**
   * @param path where the source is from, for the message
   * @param toolSource what is used for requests with tools; null: the same
   * @throws OctavoError `model_file_corrupt` when a source does not parse
   */
  constructor(
    source: string,
    path: string,
    tokens: { bosToken: string; eosToken: string },
    toolSource: string | null = null,
  ) {
    this.source = source + (toolSource ?? '');
    this.#template = parse(source, path);
    this.#toolTemplate = toolSource === null ? this.#template : parse(toolSource, path);
    this.#tokens = { bos_token: tokens.bosToken, eos_token: tokens.eosToken };
  }

  /** Whether the template tells the model of tools: seen from what it writes, for templates may name `tools` and not show them. */
  get takesTools(): boolean {
    this.#takesTools ??= this.#showsProbe();
    return this.#takesTools;
  }

  #showsProbe(): boolean {
    try {
      const text = this.render([{ role: 'user', content: 'x' }], { tools: [PROBE_TOOL] });
      return text.includes(PROBE_TOOL.function.name);
    } catch {
      return false;
    }
  }

  /**
   * The prompt text of a conversation, up to where the assistant begins to speak unless told otherwise.
   *
   * @throws OctavoError `invalid_request` when the template refuses the messages (`raise_exception`)
   */
  render(messages: readonly TemplateMessage[], options: RenderOptions = {}): string {
    const { tools = null, addGenerationPrompt = true } = options;
    try {
      return (tools ? this.#toolTemplate : this.#template).render({
        ...options.variables,
        messages,
        tools,
        add_generation_prompt: addGenerationPrompt,
        ...this.#tokens,
      });
    } catch (error) {
      throw new OctavoError(
        'invalid_request',
        `the model's chat template refuses the messages: ${messageOf(error)}`,
        { param: 'messages', cause: error },
      );
    }
  }
}

function parse(source: string, path: string): Template {
  try {
    return new Template(source);
  } catch (error) {
    throw new OctavoError(
      'model_file_corrupt',
      `the chat template in ${path} does not parse: ${messageOf(error)}`,
      { param: path, cause: error },
    );
  }
}

function messageOf(error: unknown): string {
  return clip(error instanceof Error ? error.message : String(error));
}
