import { randomUUID } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Static } from 'typebox';
import type { OctavoError } from '../../engine/errors.js';
import {
  generateText,
  type TextOutput,
  type TextRequest,
} from '../../engine/generation/generate-text.js';
import type { ScoredToken } from '../../engine/generation/held-tokens.js';
import { mergeStreams } from '../../engine/generation/merge-streams.js';
import type { MessageEvent } from '../../engine/generation/message-reader.js';
import type { GrammarCheck } from '../../engine/grammar/check-messages.js';
import type { TokenLogprobs } from '../../engine/protocol/outputs.js';
import type { TokenId } from '../../scheduler/ids.js';
import type { AppContext, GenerationRecord } from '../app-context.js';
import { errorBody, toOctavoError } from '../http/errors.js';
import { SseStream } from '../http/sse.js';
import { costOf } from '../limits/cost.js';
import type { StreamOptionsSchema } from '../routes/request-fields.js';
import { notePrompts, noteTimes } from './record.js';
import { type Running, runInFlight } from './run-in-flight.js';
import { sharePromptLogprobs } from './share-prompt-logprobs.js';

type StreamOptions = Static<typeof StreamOptionsSchema>;

/** Token counts of a request as the API shows them. */
export interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
  readonly prompt_tokens_details: { readonly cached_tokens: number };
  readonly completion_tokens_details: { readonly reasoning_tokens: number };
}

/** What is new in one choice. */
export interface ChoiceOutput extends Omit<TextOutput, 'finishReason' | 'times'> {
  readonly index: number;
  readonly finishReason: 'stop' | 'length' | null;
}

/** All of one choice. */
export interface Choice {
  text: string;
  readonly events: MessageEvent[];
  tokens: number;
  readonly tokenIds: TokenId[];
  /** See `TextOutput`; the same for the following two. */
  logprobSum: number;
  readonly scored: ScoredToken[];
  promptLogprobs: readonly TokenLogprobs[] | null;
  finishReason: 'stop' | 'length' | null;
  stopReason: string | TokenId | null;
}

/** How an endpoint words its answer. */
export interface AnswerFormat {
  /** Parts that all chunks share: id, object, created, model. */
  readonly head: object;
  /** What only the chunks of the opening say, beside the head. */
  readonly openingHead?: object;
  /** Chunks that go out before anything is generated. */
  opening(): object[][];
  /** Chunks for one output, as their `choices`; none while text is held back. */
  chunks(output: ChoiceOutput): object[][];
  /** The whole answer of a request that does not stream. */
  whole(choices: readonly Choice[], usage: Usage): object;
}

export function newId(prefix: string): string {
  return `${prefix}-${randomUUID().replaceAll('-', '')}`;
}

/**
 * Runs the choices of one API request and answers it, as a stream or whole. A client that leaves aborts all of them.
 *
 * @returns the body of the answer, or undefined when it has been streamed
 * @throws OctavoError what the engine throws, unless the stream has begun: the error is then its last event
 */
export async function answer(
  context: AppContext,
  request: FastifyRequest,
  reply: FastifyReply,
  options: {
    /** One for each prompt; usage counts a prompt once. */
    readonly requests: readonly TextRequest[];
    /** Of the grammar that they share. */
    readonly checks: readonly GrammarCheck[];
    readonly format: AnswerFormat;
    readonly stream: boolean;
    readonly streamOptions: StreamOptions | null;
    readonly record: GenerationRecord;
  },
): Promise<object | undefined> {
  const { requests, format, record } = options;
  record.stream = options.stream;
  return runInFlight(context, request, reply, record, costOf(requests), async (running) => {
    await context.grammars.check(options.checks, requests[0].client, running.controller.signal);
    if (options.stream) pauseUnread(context, requests, running);
    const outputs = runRequests(context, requests, request.arrivedAt, running, record);
    if (!options.stream) {
      const count = requests.reduce((sum, { ids }) => sum + ids.length, 0);
      return collect(outputs, count, format, record);
    }
    const shown = options.checks.length > 0 ? await untilBegun(outputs) : outputs;
    const sse = new SseStream(reply, context.clock, running);
    await stream(context, reply, sse, shown, format, record, options.streamOptions);
    return undefined;
  });
}

/** From now on, the completions of the requests compute no more than their client reads. To be called before they run. */
export function pauseUnread(
  { engine }: AppContext,
  requests: readonly TextRequest[],
  { output }: Running,
): void {
  const ids = requests.flatMap((request) => request.ids);
  output.stream({ pause: () => engine.pause(ids), resume: () => engine.resume(ids) });
}

/** The engine's outputs of all choices as they come, booked in the record. Choices are numbered through all prompts. */
export async function* runRequests(
  context: AppContext,
  requests: readonly TextRequest[],
  arrivedAt: number,
  { controller, output: meter }: Running,
  record: GenerationRecord,
): AsyncGenerator<ChoiceOutput, void> {
  const { engine, metrics, model, clock } = context;
  notePrompts(context, requests, record);
  record.promptTokens = requests.reduce(
    (sum, { promptTokenIds }) => sum + promptTokenIds.length,
    0,
  );
  const { signal } = controller;
  const streams = requests.flatMap((request) => {
    // To the engine crosses what is the engine's.
    const {
      stop,
      namedStops,
      includeStop,
      skipSpecialTokens,
      before,
      promptOnly,
      message,
      ...ofEngine
    } = request;
    const { minTokens, promptTokenIds, promptLogprobs } = ofEngine;
    const shown = {
      stop,
      namedStops,
      includeStop,
      minTokens,
      skipSpecialTokens,
      before,
      promptOnly,
      message,
    };
    const observers = metrics.observe({
      arrivedAt,
      promptTokens: promptTokenIds.length,
      completions: request.ids.length,
      maxTokens: request.maxTokens,
    });
    const outputs = engine.submit(ofEngine, signal, meter);
    const shared =
      promptLogprobs === null ? outputs : sharePromptLogprobs(outputs, promptTokenIds.length);
    return shared.map((completion, i) =>
      generateText(completion, model.tokenizer, shown, observers[i]),
    );
  });
  const firstOfPrompt = new Set<number>();
  for (let index = 0, r = 0; r < requests.length; index += requests[r++].ids.length) {
    firstOfPrompt.add(index);
  }
  for await (const { index, value } of mergeStreams(streams)) {
    const { finishReason, times, ...output } = value;
    if (finishReason === 'abort') {
      record.finishReason = 'abort';
      throw toOctavoError(signal.reason);
    }
    if (output.tokens > 0) record.ttftMs ??= clock.now() - arrivedAt;
    if (times) noteTimes(record, times);
    record.completionTokens += output.tokens;
    record.reasoningTokens += output.reasoningTokens;
    // Once for each prompt, with the first output of its first choice.
    if (firstOfPrompt.delete(index)) record.cachedTokens += output.cachedTokens;
    if (finishReason !== null) {
      record.finishReason = finishReason;
      record.generatedMs = clock.now() - arrivedAt;
    }
    yield { ...output, index, finishReason };
  }
}

/**
 * Waits for the first output, so that what goes wrong before it still has a status of its own: a grammar that cannot be compiled.
 *
 * @throws what goes wrong
 */
export async function untilBegun<Output>(
  outputs: AsyncGenerator<Output, void>,
): Promise<AsyncGenerator<Output, void>> {
  const first = await outputs.next();
  return (async function* () {
    if (first.done === true) return;
    yield first.value;
    yield* outputs;
  })();
}

async function collect(
  outputs: AsyncIterable<ChoiceOutput>,
  count: number,
  format: AnswerFormat,
  record: GenerationRecord,
): Promise<object> {
  const choices = Array.from({ length: count }, newChoice);
  for await (const { index, ...output } of outputs) {
    const choice = choices[index];
    choice.text += output.text;
    choice.events.push(...output.events);
    choice.tokens += output.tokens;
    choice.tokenIds.push(...output.tokenIds);
    choice.logprobSum += output.logprobSum;
    choice.scored.push(...output.scored);
    choice.promptLogprobs ??= output.promptLogprobs ?? null;
    choice.finishReason = output.finishReason;
    choice.stopReason = output.stopReason;
  }
  return format.whole(choices, usageOf(record));
}

const newChoice = (): Choice => ({
  text: '',
  events: [],
  tokens: 0,
  tokenIds: [],
  logprobSum: 0,
  scored: [],
  promptLogprobs: null,
  finishReason: null,
  stopReason: null,
});

async function stream(
  context: AppContext,
  reply: FastifyReply,
  sse: SseStream,
  outputs: AsyncIterable<ChoiceOutput>,
  format: AnswerFormat,
  record: GenerationRecord,
  options: StreamOptions | null,
): Promise<void> {
  const includeUsage = options?.include_usage === true;
  const isContinuous = options?.continuous_usage_stats === true;
  // The same in all chunks of a stream, so written once.
  const head = JSON.stringify(format.head).slice(1, -1);
  const send = (choices: object[], withUsage: boolean, more: object = {}): Promise<void> => {
    const usage = withUsage ? usageOf(record) : null;
    const rest = JSON.stringify({ choices, ...(includeUsage ? { usage } : {}), ...more });
    return sse.sendJson(`{${head},${rest.slice(1)}`);
  };
  try {
    for (const chunk of format.opening()) await send(chunk, isContinuous, format.openingHead);
    for await (const output of outputs) {
      for (const chunk of format.chunks(output)) await send(chunk, isContinuous);
    }
    if (includeUsage) await send([], true);
    sse.done();
  } catch (error) {
    sse.fail(errorBody(streamFailure(context, reply, record, error)));
  }
}

/** Books an error that comes after the answer has begun, when no status can tell it any more. */
export function streamFailure(
  context: AppContext,
  reply: FastifyReply,
  record: GenerationRecord,
  error: unknown,
): OctavoError {
  const known = toOctavoError(error);
  reply.request.failure = known;
  if (known.entry.status === 500) {
    context.logger.error({ err: error, requestId: reply.request.id }, 'stream failed');
  }
  if (record.finishReason !== 'abort') record.finishReason = 'error';
  return known;
}

export function usageOf(record: GenerationRecord): Usage {
  const { promptTokens, completionTokens, cachedTokens, reasoningTokens } = record;
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
    completion_tokens_details: { reasoning_tokens: reasoningTokens },
  };
}
