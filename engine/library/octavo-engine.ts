import type { TokenId } from '../../scheduler/ids.js';
import { OctavoError } from '../errors.js';
import type { Message } from '../generation/message.js';
import type { EngineStats } from '../protocol/reports.js';
import { Answer } from './answer.js';
import { embedTexts } from './embeddings.js';
import type { EngineParts } from './engine-parts.js';
import {
  type ChatOptions,
  checkChatOptions,
  checkEmbedOptions,
  checkGenerateOptions,
  type EmbedOptions,
  type GenerateOptions,
  type Several,
} from './options.js';
import { chatPrompt, type PromptPlan, textPrompts } from './prompts.js';
import { askerOf } from './requests.js';
import type {
  ChatPart,
  ChatResult,
  ChoicePart,
  GeneratePart,
  GenerateResult,
  OutputCollector,
} from './results.js';
import { runPrompts } from './run.js';

/** Parts of an engine that a program created; for `octavo/server`. */
export const partsOf = (engine: OctavoEngine): EngineParts => OctavoEngine.partsOf(engine);

/**
 * A model that runs in this process, in separate threads. Concurrent requests are computed together
 * (continuous batching), and common prefixes of prompts once (prefix caching). Close it, or the
 * process does not end.
 */
export class OctavoEngine {
  readonly #parts: EngineParts;
  #closing: Promise<void> | null = null;

  /** Internal: use `createEngine`. */
  constructor(parts: EngineParts) {
    this.#parts = parts;
  }

  static partsOf(engine: OctavoEngine): EngineParts {
    return engine.#parts;
  }

  /** The model's name. */
  get model(): string {
    return this.#parts.model.names[0];
  }

  /** Maximum length of prompt plus output, in tokens. */
  get contextLength(): number {
    return this.#parts.port.info.maxModelLength;
  }

  /** Width of the embeddings. */
  get embeddingSize(): number {
    return this.#parts.port.info.hiddenSize;
  }

  /** Names of the LoRA adapters that the option `adapter` takes. */
  get adapters(): string[] {
    return (this.#parts.port.adapters?.list ?? []).map(({ name }) => name);
  }

  /** The latest figures; they may be one step old. */
  get stats(): EngineStats {
    return this.#parts.port.stats;
  }

  /**
   * The model's answer to a conversation; with the option `n`, so many answers.
   *
   * @throws OctavoError when it is read: `invalid_request`, `context_length_exceeded`,
   *   `engine_failed`; the reason of an aborted signal
   */
  chat(messages: readonly Message[], options: Several<ChatOptions>): Answer<ChatPart, ChatResult[]>;
  chat(messages: readonly Message[], options?: ChatOptions): Answer<ChatPart, ChatResult>;
  chat(
    messages: readonly Message[],
    options: ChatOptions & { readonly n?: number } = {},
  ): Answer<ChatPart, ChatResult> | Answer<ChatPart, ChatResult[]> {
    const plan = (): Promise<PromptPlan> => {
      checkChatOptions(options);
      return chatPrompt(messages, options, this.#parts, askerOf(options));
    };
    const part = (all: ChoicePart): ChatPart => {
      const { choice, text, tokens, reasoning, toolCalls, logprobs } = all;
      return { choice, text, tokens, reasoning, toolCalls, ...(logprobs && { logprobs }) };
    };
    const result = ([choices]: OutputCollector[][]): ChatResult[] =>
      choices.map((collector) => collector.message());
    if (options.n !== undefined) return this.#answer(plan, options, part, result);
    return this.#answer(plan, options, part, (all) => result(all)[0]);
  }

  /**
   * Goes on with a text, as it stands; with the option `n`, in so many ways. Several texts are
   * computed together; parts come as they are made, and say of which prompt they are.
   *
   * @throws OctavoError when the answer is read: as `chat`
   */
  generate(
    prompt: string,
    options: Several<GenerateOptions>,
  ): Answer<GeneratePart, GenerateResult[]>;
  generate(prompt: string, options?: GenerateOptions): Answer<GeneratePart, GenerateResult>;
  generate(
    prompts: readonly string[],
    options: Several<GenerateOptions>,
  ): Answer<GeneratePart, GenerateResult[][]>;
  generate(
    prompts: readonly string[],
    options?: GenerateOptions,
  ): Answer<GeneratePart, GenerateResult[]>;
  generate(
    given: string | readonly string[],
    options: GenerateOptions & { readonly n?: number } = {},
  ):
    | Answer<GeneratePart, GenerateResult>
    | Answer<GeneratePart, GenerateResult[]>
    | Answer<GeneratePart, GenerateResult[][]> {
    const plan = (): Promise<PromptPlan> => {
      checkGenerateOptions(options);
      const texts = typeof given === 'string' ? [given] : given;
      return textPrompts(texts, options, this.#parts, askerOf(options));
    };
    const part = ({ prompt, choice, text, tokens, logprobs }: ChoicePart): GeneratePart => ({
      index: prompt,
      choice,
      text,
      tokens,
      ...(logprobs && { logprobs }),
    });
    const results = (all: OutputCollector[][]): GenerateResult[][] =>
      all.map((choices) => choices.map((collector) => collector.output()));
    const isOne = typeof given === 'string';
    const isSeveral = options.n !== undefined;
    if (isOne && isSeveral) return this.#answer(plan, options, part, (all) => results(all)[0]);
    if (isOne) return this.#answer(plan, options, part, (all) => results(all)[0][0]);
    if (isSeveral) return this.#answer(plan, options, part, results);
    return this.#answer(plan, options, part, (all) => results(all).map(([first]) => first));
  }

  /**
   * Vectors of length 1, one for each text.
   *
   * @throws OctavoError `invalid_request`, `context_length_exceeded`, `engine_failed`; the reason
   *   of an aborted signal
   */
  embed(text: string, options?: EmbedOptions): Promise<Float32Array>;
  embed(texts: readonly string[], options?: EmbedOptions): Promise<Float32Array[]>;
  async embed(
    given: string | readonly string[],
    options: EmbedOptions = {},
  ): Promise<Float32Array | Float32Array[]> {
    checkEmbedOptions(options);
    this.#assertOpen();
    if (typeof given !== 'string') return embedTexts(given, options, this.#parts);
    const [vector] = await embedTexts([given], options, this.#parts);
    return vector;
  }

  /**
   * A text's tokens. By default, the tokenizer adds its special tokens, such as a beginning of
   * sequence.
   */
  tokenize(text: string, options: { readonly addSpecialTokens?: boolean } = {}): number[] {
    const { addSpecialTokens = true } = options;
    return this.#parts.model.tokenizer.encode(text, { addSpecialTokens });
  }

  detokenize(
    tokenIds: readonly number[],
    options: { readonly skipSpecialTokens?: boolean } = {},
  ): string {
    const { skipSpecialTokens = false } = options;
    const ids = tokenIds as readonly TokenId[];
    return this.#parts.model.tokenizer.decode(ids, { skipSpecialTokens });
  }

  /** Ends running requests and the engine's threads. Idempotent. */
  close(): Promise<void> {
    const { grammars, prompts, port } = this.#parts;
    this.#closing ??= Promise.all([grammars.close(), prompts.close()]).then(() => port.close());
    return this.#closing;
  }

  /** For `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #assertOpen(): void {
    if (this.#closing) throw new OctavoError('draining', 'the engine is closed');
  }

  /**
   * @param plan what is asked of the engine; called when the answer is first asked for something
   * @param part what the reader sees of a part
   */
  #answer<Part, Result>(
    plan: () => Promise<PromptPlan>,
    options: GenerateOptions & { readonly n?: number },
    part: (part: ChoicePart) => Part,
    result: (all: OutputCollector[][]) => Result,
  ): Answer<Part, Result> {
    const run = async function* (this: OctavoEngine): AsyncGenerator<Part, Result> {
      const planned = await plan();
      this.#assertOpen();
      const parts = runPrompts(planned, options, this.#parts);
      try {
        for (;;) {
          const { done, value } = await parts.next();
          if (done === true) return result(value);
          yield part(value);
        }
      } finally {
        await parts.return([]);
      }
    };
    return new Answer(run.bind(this));
  }
}
