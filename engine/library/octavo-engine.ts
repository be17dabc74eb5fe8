import { randomInt, randomUUID } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import type { SequenceId, TokenId } from '../../scheduler/ids.js';
import type { Engine } from '../client/engine-port.js';
import { OctavoError } from '../errors.js';
import { renderMessages } from '../generation/chat-messages.js';
import { generateText, PLAIN_TEXT, type TextOptions } from '../generation/generate-text.js';
import { mergeStreams } from '../generation/merge-streams.js';
import type { Message } from '../generation/message.js';
import type { MessageForms } from '../generation/message-form.js';
import { truncateAndNormalize } from '../generation/normalize.js';
import { outputBudget } from '../generation/output-budget.js';
import type { GrammarCheck } from '../grammar/check-messages.js';
import type { GrammarChecker } from '../grammar/grammar-checker.js';
import type { EngineStats } from '../protocol/reports.js';
import { type GrammarSpec, PLAIN_REQUEST } from '../protocol/request.js';
import { GREEDY, type SamplingParams } from '../sampling/sampling-params.js';
import type { EngineSettings } from '../settings.js';
import { assertFewEnough, assertMayFit } from '../text/assert-may-fit.js';
import { encodePrompt, type ServedModel } from '../text/served-model.js';
import { newCallId } from '../tools/call-ids.js';
import { planTools } from '../tools/tool-plan.js';
import { Answer } from './answer.js';
import {
  type ChatOptions,
  checkChatOptions,
  checkEmbedOptions,
  checkGenerateOptions,
  type EmbedOptions,
  type GenerateOptions,
  grammarOfFormat,
} from './options.js';
import {
  type ChatPart,
  type ChatResult,
  type GeneratePart,
  type GenerateResult,
  OutputCollector,
} from './results.js';

/** The parts of an engine; a server uses the same parts. */
export interface EngineParts {
  readonly port: Engine;
  readonly model: ServedModel;
  readonly forms: MessageForms;
  readonly grammars: GrammarChecker;
  readonly settings: EngineSettings & { readonly kvMetricsSampleRate: number };
}

/** A prompt as it is submitted. */
interface Prompt {
  readonly tokenIds: readonly TokenId[];
  readonly field: 'messages' | 'prompt';
  readonly grammar: GrammarSpec | null;
  readonly text: Pick<TextOptions, 'message' | 'prefixTokenIds'>;
  readonly newCallId: () => string;
}

/** The client name of a program's requests, for fair use of the grammar threads. */
const CLIENT = 'library';

const UNOBSERVED = { output: () => undefined, end: () => undefined };

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

  /** The latest figures; they may be one step old. */
  get stats(): EngineStats {
    return this.#parts.port.stats;
  }

  /**
   * The model's answer to a conversation.
   *
   * @throws OctavoError when the answer is read: `invalid_request`, `context_length_exceeded`,
   *   `engine_failed`; the reason of an aborted signal
   */
  chat(messages: readonly Message[], options: ChatOptions = {}): Answer<ChatPart, ChatResult> {
    return new Answer(() => this.#chat(messages, options));
  }

  async *#chat(
    messages: readonly Message[],
    options: ChatOptions,
  ): AsyncGenerator<ChatPart, ChatResult> {
    checkChatOptions(options);
    const { prompt, checks } = this.#chatPrompt(messages, options);
    const parts = this.#run([prompt], checks, options);
    try {
      for (;;) {
        const { done, value } = await parts.next();
        if (done === true) return value[0].said();
        const { text, reasoning, toolCalls } = value.part;
        if (text !== '' || reasoning !== '' || toolCalls.length > 0) yield value.part;
      }
    } finally {
      await parts.return([]);
    }
  }

  /**
   * Continues a text without a chat template. Several prompts are computed together; parts arrive
   * as they are generated, with the index of their prompt.
   *
   * @throws OctavoError when the answer is read: as `chat`
   */
  generate(prompt: string, options?: GenerateOptions): Answer<GeneratePart, GenerateResult>;
  generate(
    prompts: readonly string[],
    options?: GenerateOptions,
  ): Answer<GeneratePart, GenerateResult[]>;
  generate(
    given: string | readonly string[],
    options: GenerateOptions = {},
  ): Answer<GeneratePart, GenerateResult> | Answer<GeneratePart, GenerateResult[]> {
    if (typeof given !== 'string') return new Answer(() => this.#generate(given, options));
    const generate = this.#generate.bind(this);
    return new Answer(async function* () {
      const [result] = yield* generate([given], options);
      return result;
    });
  }

  async *#generate(
    texts: readonly string[],
    options: GenerateOptions,
  ): AsyncGenerator<GeneratePart, GenerateResult[]> {
    checkGenerateOptions(options);
    const wish = grammarOfFormat(options.responseFormat);
    const checks = wish ? [{ ...wish, suspects: [] }] : [];
    const prompts = texts.map((text) => this.#textPrompt(text, wish?.spec ?? null));
    const parts = this.#run(prompts, checks, options);
    try {
      for (;;) {
        const { done, value } = await parts.next();
        if (done === true) return value.map((collector) => collector.generated());
        if (value.part.text !== '') yield { index: value.index, text: value.part.text };
      }
    } finally {
      await parts.return([]);
    }
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
    const { port, settings } = this.#parts;
    const { dimensions = this.embeddingSize, pooling = settings.pooling } = options;
    if (dimensions > this.embeddingSize) {
      const message = `dimensions is ${dimensions}, but the model's embeddings have ${this.embeddingSize}`;
      throw new OctavoError('invalid_request', message, { param: 'dimensions' });
    }
    const texts = typeof given === 'string' ? [given] : given;
    const prompts = texts.map((text) => {
      const tokenIds = this.#encode(text);
      const needs = { promptTokens: tokenIds.length, asked: null, standard: 0 } as const;
      outputBudget({ ...needs, context: this.contextLength + 1, param: 'prompt' });
      return tokenIds;
    });
    this.#assertOpen();
    const work = follow(options.signal);
    const streams = prompts.map(
      (promptTokenIds) =>
        port.submit(
          {
            ids: [newId()],
            promptTokenIds,
            maxTokens: 0,
            stopTokenIds: [],
            ...PLAIN_REQUEST,
            sampling: GREEDY,
            pooling,
          },
          work.signal,
        )[0],
    );
    const read = async (outputs: (typeof streams)[number]): Promise<Float32Array> => {
      for await (const { embedding, finishReason } of outputs) {
        if (finishReason === 'abort') throw work.signal.reason;
        if (embedding) return truncateAndNormalize(embedding, dimensions);
      }
      throw new Error('the engine gave no embedding');
    };
    try {
      const vectors = await Promise.all(streams.map(read));
      return typeof given === 'string' ? vectors[0] : vectors;
    } finally {
      work.end();
    }
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
    const { grammars, port } = this.#parts;
    this.#closing ??= grammars.close().then(() => port.close());
    return this.#closing;
  }

  /** For `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #assertOpen(): void {
    if (this.#closing) throw new OctavoError('draining', 'the engine is closed');
  }

  #encode(text: string): TokenId[] {
    const { tokenizer } = this.#parts.model;
    if (typeof text !== 'string') {
      throw new OctavoError('invalid_request', 'a prompt must be a string', { param: 'prompt' });
    }
    assertMayFit(text, tokenizer, this.contextLength, 'prompt');
    return tokenizer.encode(text, { addSpecialTokens: true });
  }

  #textPrompt(text: string, grammar: GrammarSpec | null): Prompt {
    const tokenIds = this.#encode(text);
    return {
      tokenIds,
      field: 'prompt',
      grammar,
      text: { message: null, prefixTokenIds: tokenIds },
      newCallId,
    };
  }

  #chatPrompt(
    messages: readonly Message[],
    options: ChatOptions,
  ): { prompt: Prompt; checks: readonly GrammarCheck[] } {
    const { model, forms, settings } = this.#parts;
    assertMessages(messages);
    assertFewEnough(messages.length, this.contextLength, 'messages');
    const tools = planTools(
      {
        tools: options.tools ?? null,
        tool_choice: options.toolChoice ?? null,
        parallel_tool_calls: options.parallelToolCalls ?? null,
      },
      model.chatTemplate,
      forms.tools,
      settings.disableAnyWhitespace,
    );
    const rendered = renderMessages(messages, model, {
      tools: tools?.shown ?? null,
      ...(options.templateVariables && { variables: options.templateVariables }),
    });
    const wish = grammarOfFormat(options.responseFormat);
    const { prompt, message, grammar, checks } = forms.plan(rendered, tools, wish);
    assertMayFit(prompt.text, model.tokenizer, this.contextLength, 'messages');
    const planned: Prompt = {
      tokenIds: encodePrompt(prompt, model),
      field: 'messages',
      grammar,
      text: { message, prefixTokenIds: [] },
      newCallId: () => tools?.format.newCallId() ?? newCallId(),
    };
    return { prompt: planned, checks };
  }

  /** Runs all prompts at once; yields new output as it arrives, with the index of its prompt. */
  async *#run(
    prompts: readonly Prompt[],
    checks: readonly GrammarCheck[],
    options: GenerateOptions,
  ): AsyncGenerator<{ index: number; part: ChatPart }, OutputCollector[]> {
    this.#assertOpen();
    const { port, model, grammars } = this.#parts;
    const requests = prompts.map((prompt) => this.#request(prompt, options));
    const collectors = prompts.map(
      ({ tokenIds, newCallId: id }) => new OutputCollector(tokenIds.length, id),
    );
    const work = follow(options.signal);
    try {
      work.signal.throwIfAborted();
      await grammars.check(checks, CLIENT, work.signal);
      const { stop = [], stopTokenIds = [] } = options;
      const streams = requests.map((request, index) =>
        generateText(
          port.submit(request, work.signal)[0],
          model.tokenizer,
          {
            ...PLAIN_TEXT,
            ...prompts[index].text,
            opens: request.grammar === null,
            stop: typeof stop === 'string' ? [stop] : stop,
            namedStops: stopTokenIds as readonly TokenId[],
            minTokens: request.minTokens,
          },
          { index, signal: work.signal, observer: UNOBSERVED },
        ),
      );
      for await (const { index, value } of mergeStreams(streams)) {
        yield { index, part: collectors[index].take(value) };
      }
      return collectors;
    } finally {
      work.end();
    }
  }

  #request({ tokenIds, field, grammar }: Prompt, options: GenerateOptions) {
    const { model, port } = this.#parts;
    const { minTokens = 0, stopTokenIds = [], ignoreEos = false } = options;
    const maxTokens = outputBudget({
      promptTokens: tokenIds.length,
      asked: options.maxTokens ?? null,
      standard: model.defaultMaxTokens ?? this.contextLength,
      context: this.contextLength,
      param: field,
    });
    if (minTokens > maxTokens) {
      const message = `minTokens is ${minTokens}, but at most ${maxTokens} can be generated`;
      throw new OctavoError('invalid_request', message, { param: 'minTokens' });
    }
    assertTokens(stopTokenIds, port.info.vocabSize, 'stopTokenIds');
    const ends = ignoreEos ? [] : model.eosTokenIds;
    return {
      ids: [newId()],
      promptTokenIds: tokenIds,
      maxTokens,
      stopTokenIds: [...new Set([...ends, ...(stopTokenIds as readonly TokenId[])])],
      ...PLAIN_REQUEST,
      minTokens,
      grammar,
      eosTokenIds: model.eosTokenIds,
      sampling: this.#sampling(options),
      priority: options.priority ?? 0,
      cacheSalt: options.cacheSalt ?? null,
      client: CLIENT,
    };
  }

  #sampling(options: GenerateOptions): SamplingParams {
    const standard = this.#parts.model.defaultSampling;
    const biases = Object.entries(options.logitBias ?? {}).map(([id, bias]): [TokenId, number] => [
      Number(id) as TokenId,
      bias,
    ]);
    assertTokens(
      biases.map(([id]) => id),
      this.#parts.port.info.vocabSize,
      'logitBias',
    );
    return {
      logitBias: biases,
      repetitionPenalty: options.repetitionPenalty ?? standard.repetitionPenalty,
      frequencyPenalty: options.frequencyPenalty ?? standard.frequencyPenalty,
      presencePenalty: options.presencePenalty ?? standard.presencePenalty,
      temperature: options.temperature ?? standard.temperature,
      topK: options.topK ?? standard.topK,
      minP: options.minP ?? standard.minP,
      typicalP: options.typicalP ?? standard.typicalP,
      topP: options.topP ?? standard.topP,
      seed: options.seed ?? randomInt(2 ** 32),
    };
  }
}

/** A signal that is aborted by the caller's signal, or when the caller stops reading. */
function follow(signal: AbortSignal | undefined): { signal: AbortSignal; end: () => void } {
  const own = new AbortController();
  // Each prompt of a batch adds a listener, so many are no leak.
  setMaxListeners(0, own.signal);
  const abort = (): void => own.abort(signal?.reason);
  if (signal?.aborted) abort();
  signal?.addEventListener('abort', abort, { once: true });
  return {
    signal: own.signal,
    end: () => {
      signal?.removeEventListener('abort', abort);
      own.abort();
    },
  };
}

const newId = (): SequenceId => randomUUID() as SequenceId;

const ROLES: readonly string[] = ['system', 'developer', 'user', 'assistant', 'tool', 'function'];

function assertMessages(messages: readonly Message[]): void {
  const refuse = (param: string, what: string): never => {
    throw new OctavoError('invalid_request', `${param} ${what}`, { param });
  };
  if (!Array.isArray(messages) || messages.length === 0) {
    refuse('messages', 'must be a list of at least one message');
  }
  for (const [index, message] of messages.entries()) {
    if (!ROLES.includes(message?.role)) {
      refuse(`messages[${index}].role`, `must be one of ${ROLES.join(', ')}`);
    }
    const { content = null } = message;
    if (content !== null && typeof content !== 'string' && !Array.isArray(content)) {
      refuse(`messages[${index}].content`, 'must be a text, or a list of parts with text');
    }
  }
}

function assertTokens(ids: readonly number[], vocabSize: number, param: string): void {
  const alien = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize);
  if (alien === undefined) return;
  const message = `${param}: ${alien} is not in the vocabulary of ${vocabSize} tokens`;
  throw new OctavoError('invalid_request', message, { param });
}
