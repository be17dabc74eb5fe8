import { randomUUID } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { OctavoError } from '../../engine/errors.js';
import type { AppContext, GenerationRecord } from '../app-context.js';
import { errorBody, toOctavoError } from '../http/errors.js';
import { SseStream } from '../http/sse.js';
import { generateText, type TextOutput, type TextRequest } from './generate-text.js';
import { mergeStreams } from './merge-streams.js';

/** Token counts of a request as the API shows them. */
export interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
  readonly prompt_tokens_details: { readonly cached_tokens: number };
  readonly completion_tokens_details: { readonly reasoning_tokens: number };
}

/** What is new in one choice. */
export interface ChoiceOutput extends Omit<TextOutput, 'finishReason'> {
  readonly index: number;
  readonly finishReason: 'stop' | 'length' | null;
}

export interface Choice {
  text: string;
  finishReason: 'stop' | 'length' | null;
}

/** How an endpoint words its answer. */
export interface AnswerFormat {
  /** Parts that all chunks share: id, object, created, model. */
  readonly head: object;
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
    readonly format: AnswerFormat;
    readonly stream: boolean;
    readonly includeUsage: boolean;
    readonly record: GenerationRecord;
  },
): Promise<object | undefined> {
  const { requests, format, record } = options;
  request.generation = record;
  record.promptTokens = requests.reduce(
    (sum, { promptTokenIds }) => sum + promptTokenIds.length,
    0,
  );
  if (context.engine.state === 'failed') {
    throw new OctavoError('engine_failed', 'the engine has failed');
  }
  const controller = context.inFlight.begin();
  abortOnDisconnect(reply, controller);
  try {
    const outputs = runRequests(context, requests, request.arrivedAt, controller, record);
    if (!options.stream) {
      const count = requests.reduce((sum, { ids }) => sum + ids.length, 0);
      return await collect(outputs, count, format, record);
    }
    await stream(context, reply, outputs, format, record, options.includeUsage);
    return undefined;
  } finally {
    // Streams with a read under way end only so; for those at their end it changes nothing.
    controller.abort();
    context.inFlight.end(controller);
  }
}

/** The engine's outputs of all choices as they come, booked in the record. Choices are numbered through all prompts. */
async function* runRequests(
  context: AppContext,
  requests: readonly TextRequest[],
  arrivedAt: number,
  controller: AbortController,
  record: GenerationRecord,
): AsyncGenerator<ChoiceOutput, void> {
  const { engine, metrics, model, clock } = context;
  const { signal } = controller;
  const streams = requests.flatMap(({ stop, includeStop, ...request }) =>
    engine.submit(request, signal).map((outputs) => {
      const observer = metrics.observe(arrivedAt, request.promptTokenIds.length);
      return generateText(outputs, model.tokenizer, { stop, includeStop }, observer);
    }),
  );
  const firstOfPrompt = new Set<number>();
  for (let index = 0, r = 0; r < requests.length; index += requests[r++].ids.length) {
    firstOfPrompt.add(index);
  }
  for await (const { index, value } of mergeStreams(streams)) {
    const { finishReason, ...output } = value;
    if (finishReason === 'abort') {
      record.finishReason = 'abort';
      throw toOctavoError(signal.reason);
    }
    if (output.tokens > 0) record.ttftMs ??= Math.round(clock.now() - arrivedAt);
    record.completionTokens += output.tokens;
    // Once for each prompt, with the first output of its first choice.
    if (firstOfPrompt.delete(index)) record.cachedTokens += output.cachedTokens;
    if (finishReason !== null) record.finishReason = finishReason;
    yield { ...output, index, finishReason };
  }
}

async function collect(
  outputs: AsyncIterable<ChoiceOutput>,
  count: number,
  format: AnswerFormat,
  record: GenerationRecord,
): Promise<object> {
  const choices = Array.from({ length: count }, (): Choice => ({ text: '', finishReason: null }));
  for await (const { index, text, finishReason } of outputs) {
    const choice = choices[index];
    choice.text += text;
    choice.finishReason = finishReason;
  }
  return format.whole(choices, usageOf(record));
}

async function stream(
  context: AppContext,
  reply: FastifyReply,
  outputs: AsyncIterable<ChoiceOutput>,
  format: AnswerFormat,
  record: GenerationRecord,
  includeUsage: boolean,
): Promise<void> {
  const sse = new SseStream(reply, context.clock);
  // The same in all chunks of a stream, so written once.
  const head = JSON.stringify(format.head).slice(0, -1);
  const send = (choices: object[], usage: Usage | null = null): Promise<void> => {
    const tail = includeUsage ? `,"usage":${JSON.stringify(usage)}}` : '}';
    return sse.sendJson(`${head},"choices":${JSON.stringify(choices)}${tail}`);
  };
  try {
    for (const chunk of format.opening()) await send(chunk);
    for await (const output of outputs) {
      for (const chunk of format.chunks(output)) await send(chunk);
    }
    if (includeUsage) await send([], usageOf(record));
    sse.done();
  } catch (error) {
    const known = toOctavoError(error);
    if (known.entry.status === 500) {
      context.logger.error({ err: error, requestId: reply.request.id }, 'stream failed');
    }
    if (record.finishReason !== 'abort') record.finishReason = 'error';
    sse.fail(errorBody(known));
  }
}

function abortOnDisconnect(reply: FastifyReply, controller: AbortController): void {
  const abort = (): void =>
    controller.abort(new OctavoError('client_closed', 'the client closed the connection'));
  if (reply.raw.destroyed) abort();
  // After a complete answer this comes too, and changes nothing.
  else reply.raw.once('close', abort);
}

function usageOf(record: GenerationRecord): Usage {
  const { promptTokens, completionTokens, cachedTokens } = record;
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
    completion_tokens_details: { reasoning_tokens: 0 },
  };
}

export function newRecord(id: string, model: string): GenerationRecord {
  return {
    id,
    model,
    promptTokens: 0,
    completionTokens: 0,
    cachedTokens: 0,
    ttftMs: null,
    finishReason: null,
  };
}
