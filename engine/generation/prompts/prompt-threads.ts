import type { TokenId } from '../../../scheduler/ids.js';
import { OctavoError } from '../../errors.js';
import { type Asker, JobPool, type JobPoolOptions } from '../../job-pool/job-pool.js';
import type { ThreadProgram } from '../../job-pool/job-thread.js';
import { type ServedModel, templateTokensOf } from '../../text/served-model.js';
import type { PromptText } from '../../text/spans.js';
import type { MessageOptions } from '../chat-messages.js';
import type { Message } from '../message.js';
import {
  type PromptResult,
  type PromptThreadData,
  type PromptWork,
  packPrompt,
  unpackPrompt,
} from './prompt-jobs.js';
import { type EncodeOptions, InlinePrompts, type PromptMaker } from './prompt-maker.js';
import { INLINE_TEXT, isSmall } from './prompt-sizes.js';

export const PROMPT_DEFAULTS = {
  maxThreads: 2,
  budgetMs: 10_000,
  maxWaitingBytes: 64 * 2 ** 20,
} as const;

/**
 * Makes small prompts on the caller's thread, which serves HTTP, and large ones in threads apart:
 * there a template takes seconds for thousands of messages, a tokenizer for megabytes of text.
 * Templates that requests bring run in threads in any case.
 */
export class PromptThreads implements PromptMaker {
  readonly #inline: InlinePrompts;
  readonly #canRender: boolean;
  readonly #pool: JobPool<PromptWork, PromptResult>;

  /**
   * @param modelDir directory that the model was loaded from
   * @param options the budget is for one rendering, or one text
   */
  constructor(model: ServedModel, modelDir: string, options: JobPoolOptions = PROMPT_DEFAULTS) {
    this.#inline = new InlinePrompts(model);
    this.#canRender = model.chatTemplate !== null;
    this.#pool = new JobPool(
      promptThread({
        modelDir,
        template: model.chatTemplate?.origin ?? null,
        templateTokens: templateTokensOf(model),
        controlTokens: [...model.controlTokens],
      }),
      options,
    );
  }

  /** For tests. */
  get threads(): number {
    return this.#pool.threads;
  }

  async render(
    messages: readonly Message[],
    options: MessageOptions,
    asker: Asker,
  ): Promise<PromptText> {
    const { tools, variables, template } = options;
    // A request's own template is a client's program, however small the conversation is.
    const hasTemplate = typeof template === 'string';
    if (!hasTemplate && (!this.#canRender || isSmall([messages, tools, variables]))) {
      return this.#inline.render(messages, options);
    }
    const conversation = JSON.stringify({ messages, options });
    const bytes = 2 * conversation.length;
    const work = { kind: 'render', conversation, hasTemplate } as const;
    const result = await this.#pool.run(work, { ...asker, bytes });
    if (result.kind !== 'render') throw new Error('a prompt thread has done another job');
    return unpackPrompt(result.prompt);
  }

  async encode(prompt: PromptText, options: EncodeOptions, asker: Asker): Promise<TokenId[]> {
    if (prompt.text.length <= INLINE_TEXT) return this.#inline.encode(prompt, options);
    const bytes = 2 * prompt.text.length;
    const work = { kind: 'encode', prompt: packPrompt(prompt), ...options } as const;
    const result = await this.#pool.run(work, { ...asker, bytes });
    if (result.kind !== 'encode') throw new Error('a prompt thread has done another job');
    return Array.from(result.tokenIds) as TokenId[];
  }

  close(): Promise<void> {
    return this.#pool.close();
  }
}

const promptThread = (data: PromptThreadData): ThreadProgram<PromptWork> => ({
  file: new URL('./prompt-thread.js', import.meta.url),
  data,
  maxHeapMb: 1024,
  does: 'makes prompts',
  tooLarge: (work, budget, sizes) => {
    const does = work.kind === 'render' ? "the chat template's work takes" : 'tokenizing takes';
    const what = sizes === '' ? '' : `: there are ${sizes}`;
    const own = work.kind === 'render' && work.hasTemplate ? 'chat_template' : 'messages';
    const param = work.kind === 'render' ? own : work.param;
    return new OctavoError('invalid_request', `${param}: ${does} more than ${budget}${what}`, {
      param,
    });
  },
});
