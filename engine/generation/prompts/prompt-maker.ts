import type { TokenId } from '../../../scheduler/ids.js';
import type { Asker } from '../../job-pool/job-pool.js';
import { RequestTemplates } from '../../text/request-templates.js';
import { encodePrompt, type ServedModel, templateTokensOf } from '../../text/served-model.js';
import type { PromptText } from '../../text/spans.js';
import { type MessageOptions, renderMessages } from '../chat-messages.js';
import type { Message } from '../message.js';

export interface EncodeOptions {
  readonly addSpecialTokens: boolean;
  /** Request field of the text, for errors. */
  readonly param: string;
}

/** Counts since the start, and what is kept now. */
export interface ImageCounts {
  /** Images that were encoded, not found in the cache. */
  readonly runs: number;
  readonly cache: {
    readonly queries: number;
    readonly hits: number;
    readonly bytes: number;
    readonly capacity: number;
  };
}

/** Makes the prompts of one model: conversations to text, and text to tokens. */
export interface PromptMaker {
  /** @throws OctavoError as `renderMessages`, and that of a budget */
  render(messages: readonly Message[], options: MessageOptions, asker: Asker): Promise<PromptText>;
  /** @throws OctavoError that of a budget */
  encode(prompt: PromptText, options: EncodeOptions, asker: Asker): Promise<TokenId[]>;
  /** What was done with images; absent for models that read text alone. */
  readonly images?: ImageCounts;
  /** Idempotent. */
  close(): Promise<void>;
}

/** On the caller's thread, which waits meanwhile. */
export class InlinePrompts implements PromptMaker {
  readonly #model: ServedModel;
  readonly #requestTemplates: RequestTemplates;

  constructor(model: ServedModel) {
    this.#model = model;
    this.#requestTemplates = new RequestTemplates(templateTokensOf(model));
  }

  async render(messages: readonly Message[], options: MessageOptions): Promise<PromptText> {
    const own = options.template ? this.#requestTemplates.get(options.template) : null;
    return renderMessages(messages, own ? { chatTemplate: own } : this.#model, options);
  }

  async encode(prompt: PromptText, { addSpecialTokens }: EncodeOptions): Promise<TokenId[]> {
    return encodePrompt(prompt, this.#model, { addSpecialTokens });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
