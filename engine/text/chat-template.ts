import { clip } from '../clip.js';
import { type Clock, systemClock } from '../clock.js';
import { OctavoError } from '../errors.js';
import { countValues } from './count-values.js';
import { type Program, parseTemplate, runTemplate } from './jinja-program.js';
import type { PromptText } from './spans.js';
import { strftime } from './strftime.js';
import type { TemplateBounds } from './template-bounds.js';

/**
 * One turn, as templates expect it: the content is a string, or a list of parts where there are
 * images. Other fields are passed through.
 */
export interface TemplateMessage {
  readonly role: string;
  readonly content: string | readonly TemplatePart[] | null;
  readonly [field: string]: unknown;
}

export type TemplatePart =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'image' };

/** What a template is made of: plain data. */
export interface TemplateSource {
  readonly source: string;
  /** The source's file, for messages. */
  readonly path: string;
  readonly tokens: { readonly bosToken: string; readonly eosToken: string };
  /** Template for requests with tools; null for the same. */
  readonly toolSource: string | null;
}

export interface RenderOptions {
  /** Function tools in OpenAI's form. */
  readonly tools?: readonly object[] | null;
  readonly addGenerationPrompt?: boolean;
  /** Other variables, such as `enable_thinking`; none of `RESERVED_VARIABLES`. */
  readonly variables?: Readonly<Record<string, unknown>>;
}

/** Variables of templates that only the server may set. */
export const RESERVED_VARIABLES: readonly string[] = [
  'messages',
  'tools',
  'add_generation_prompt',
  'bos_token',
  'eos_token',
];

/**
 * Maximum number of values in a conversation: parts, arguments of calls, variables. Each costs some
 * microseconds in the library.
 */
const MAX_VALUES = 100_000;

const PROBE = 'octavo_probe';

const PROBE_TOOL = {
  type: 'function',
  function: {
    name: PROBE,
    description: 'probe',
    parameters: { type: 'object', properties: {} },
  },
};

/** Thrown by a template's `raise_exception`. */
class Refusal extends Error {}

/** Jinja's names and Python's. */
const CONSTANTS = { true: true, false: false, none: null, True: true, False: false, None: null };

/** That of Jinja's sandbox, in which transformers runs templates. */
const MAX_RANGE = 100_000;

/** Python's `range`. */
function range(first: number, end?: number, step = 1): number[] {
  const [start, stop] = end === undefined ? [0, first] : [first, end];
  const length = Math.max(0, Math.ceil((stop - start) / step));
  if (!(length <= MAX_RANGE)) throw new RangeError(`range() of more than ${MAX_RANGE} numbers`);
  return Array.from({ length }, (_, i) => start + i * step);
}

/** A chat template in the Hugging Face form (Jinja), parsed once. */
export class ChatTemplate {
  /** From this, another thread can make the same template. */
  readonly origin: TemplateSource;
  readonly #template: Program;
  /** Some models have a second template for conversations with tools. */
  readonly #toolTemplate: Program;
  readonly #tokens: { readonly bos_token: string; readonly eos_token: string };
  readonly #clock: Pick<Clock, 'unixSeconds'>;
  readonly #bounds: TemplateBounds | null;
  #takesTools: boolean | null = null;
  #wantsParts: boolean | null = null;
  #takesLaterSystem: boolean | null = null;

  /**
   * @param path the source's file, for messages
   * @param toolSource template for requests with tools; null for the same
   * @param clock gives today's date, which some templates write
   * @param bounds of a request's own template; null for a model's
   * @throws OctavoError `model_file_corrupt` when a source does not parse
   */
  constructor(
    source: string,
    path: string,
    tokens: TemplateSource['tokens'],
    toolSource: string | null = null,
    clock: Pick<Clock, 'unixSeconds'> = systemClock,
    bounds: TemplateBounds | null = null,
  ) {
    this.origin = { source, path, tokens, toolSource };
    this.#template = parse(source, path);
    this.#toolTemplate = toolSource === null ? this.#template : parse(toolSource, path);
    this.#clock = clock;
    this.#bounds = bounds;
    this.#tokens = { bos_token: tokens.bosToken, eos_token: tokens.eosToken };
  }

  /** @throws OctavoError as the constructor */
  static of({ source, path, tokens, toolSource }: TemplateSource): ChatTemplate {
    return new ChatTemplate(source, path, tokens, toolSource);
  }

  /** The source of all its templates, for recognizing the forms that a model was trained on. */
  get source(): string {
    const { source, toolSource } = this.origin;
    return source + (toolSource ?? '');
  }

  /**
   * Whether the template shows tools to the model. Found by rendering, because a template may
   * mention `tools` without showing them.
   */
  get takesTools(): boolean {
    this.#takesTools ??= this.#showsProbe([{ role: 'user', content: 'x' }], {
      tools: [PROBE_TOOL],
    });
    return this.#takesTools;
  }

  /** Whether it writes system messages that come behind others. Found by rendering, too. */
  get takesLaterSystem(): boolean {
    this.#takesLaterSystem ??= this.#showsProbe([
      { role: 'system', content: 'x' },
      { role: 'user', content: 'x' },
      { role: 'system', content: PROBE },
      { role: 'assistant', content: 'x' },
      { role: 'user', content: 'x' },
    ]);
    return this.#takesLaterSystem;
  }

  /**
   * Whether it writes contents that are lists of parts, and none that are strings, as SmolVLM's.
   * Found by rendering, too.
   */
  get #takesPartsOnly(): boolean {
    if (this.#wantsParts !== null) return this.#wantsParts;
    // While it is tried, contents are left as they are.
    this.#wantsParts = false;
    const shows = (content: TemplateMessage['content']): boolean =>
      this.#showsProbe([{ role: 'user', content }]);
    this.#wantsParts = !shows(PROBE) && shows([{ type: 'text', text: PROBE }]);
    return this.#wantsParts;
  }

  #showsProbe(messages: readonly TemplateMessage[], options: RenderOptions = {}): boolean {
    try {
      return this.render(messages, options).includes(PROBE);
    } catch {
      return false;
    }
  }

  /**
   * Why the template cannot render even one user message: it uses something that the library does
   * not support. Null when it can, or when it refuses intentionally.
   */
  problem(): string | null {
    try {
      this.render([{ role: 'user', content: 'x' }]);
      return null;
    } catch (error) {
      const isRefusal = error instanceof OctavoError && error.cause instanceof Refusal;
      return isRefusal ? null : messageOf(error);
    }
  }

  /**
   * The prompt text of a conversation; by default, it ends where the assistant's turn begins.
   *
   * @throws OctavoError `invalid_request` when the template refuses the messages
   *   (`raise_exception`)
   */
  render(messages: readonly TemplateMessage[], options: RenderOptions = {}): string {
    return this.renderPrompt(messages, options).text;
  }

  /**
   * The same, with the spans that come from messages, tools and variables.
   *
   * @throws OctavoError as `render`
   */
  renderPrompt(messages: readonly TemplateMessage[], options: RenderOptions = {}): PromptText {
    const { tools = null, addGenerationPrompt = true, variables = {} } = options;
    if (countValues([messages, variables], MAX_VALUES) > MAX_VALUES) {
      const message = `messages: more than ${MAX_VALUES} JSON values, with those of arguments and variables, are not supported`;
      throw new OctavoError('invalid_request', message, { param: 'messages' });
    }
    const all = {
      ...this.#globals(),
      ...variables,
      messages: this.#takesPartsOnly ? messages.map(inParts) : messages,
      tools,
      add_generation_prompt: addGenerationPrompt,
      ...this.#tokens,
    };
    try {
      const template = tools ? this.#toolTemplate : this.#template;
      const fromClient = ['messages', 'tools', ...Object.keys(variables)];
      return runTemplate(template, all, fromClient, this.#bounds);
    } catch (error) {
      const isRefusal = error instanceof Refusal;
      const whose = this.#bounds === null ? 'model' : 'request';
      const param = this.#bounds === null || isRefusal ? 'messages' : 'chat_template';
      const does = isRefusal ? 'refuses' : 'cannot write';
      throw new OctavoError(
        'invalid_request',
        `the ${whose}'s chat template ${does} the messages: ${messageOf(error)}`,
        { param, cause: error },
      );
    }
  }

  /** Globals: our clock, and a refusal that can be distinguished from errors of the library. */
  #globals(): Record<string, unknown> {
    return {
      ...CONSTANTS,
      range,
      raise_exception: (message: unknown): never => {
        throw new Refusal(String(message));
      },
      strftime_now: (format: string): string =>
        strftime(new Date(this.#clock.unixSeconds() * 1000), format),
    };
  }
}

function inParts(message: TemplateMessage): TemplateMessage {
  const { content } = message;
  if (typeof content !== 'string') return message;
  return { ...message, content: [{ type: 'text', text: content }] };
}

function parse(source: string, path: string): Program {
  try {
    return parseTemplate(source);
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
