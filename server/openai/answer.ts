import { randomUUID } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import type { Static } from 'typebox';
import type { ScoredToken } from '../../engine/generation/held-tokens.js';
import type { MessageEvent } from '../../engine/generation/message-reader.js';
import type { TextRequest } from '../../engine/generation/text-request.js';
import type { ChoiceDelta } from '../../engine/generation/visible-text.js';
import type { GrammarCheck } from '../../engine/grammar/check-messages.js';
import type { TokenLogprobs } from '../../engine/protocol/outputs.js';
import type { TokenId } from '../../scheduler/ids.js';
import type { FinishReason } from '../../scheduler/step-plan.js';
import { pauseUnread, runRequests, untilBegun } from '../generation/run.js';
import { type RequestHost, runInFlight, streamFailure } from '../generation/run-in-flight.js';
import { errorBody } from '../http/errors.js';
import { SseStream } from '../http/sse.js';
import { costOf } from '../limits/cost.js';
import type { ModelService } from '../models.js';
import type { GenerationRecord } from '../request-record.js';
import type { StreamOptionsSchema } from './fields/request-fields.js';

type StreamOptions = Static<typeof StreamOptionsSchema>;

/** Token counts of a request, in the API's form. */
export interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
  readonly prompt_tokens_details: { readonly cached_tokens: number };
  readonly completion_tokens_details: {
    readonly reasoning_tokens: number;
    /** Of the request's prediction; absent without one. */
    readonly accepted_prediction_tokens?: number;
    readonly rejected_prediction_tokens?: number;
  };
}

/** One complete choice. */
export interface Choice {
  text: string;
  readonly events: MessageEvent[];
  tokens: number;
  readonly tokenIds: TokenId[];
  /** See `ChoiceDelta`; the same for the following two. */
  logprobSum: number;
  readonly scored: ScoredToken[];
  promptLogprobs: readonly TokenLogprobs[] | null;
  finishReason: FinishReason | null;
  stopReason: string | TokenId | null;
}

/** vLLM's: what has ended a choice, besides an end of the model's own and the length. */
export const stopReasonOf = ({
  finishReason,
  stopReason,
}: Pick<Choice, 'finishReason' | 'stopReason'>): string | TokenId | null =>
  finishReason === 'repetition' ? 'repetition_detected' : stopReason;

/** The wire format of an endpoint's answer. */
export interface AnswerFormat {
  /** Parts that all chunks share: id, object, created, model. */
  readonly head: object;
  /** Fields that only the opening chunks have, besides the head. */
  readonly openingHead?: object;
  /** Chunks that are sent before anything is generated. */
  opening(): object[][];
  /** Chunks for one delta, as their `choices`; none while text is held back. */
  chunks(delta: ChoiceDelta): object[][];
  /** The whole answer of a request that does not stream. */
  whole(choices: readonly Choice[], usage: Usage): object;
}

export function newId(prefix: string): string {
  return `${prefix}-${randomUUID().replaceAll('-', '')}`;
}

/**
 * Runs the choices of one API request and answers it, as a stream or whole. A client that leaves
 * aborts all of them.
 *
 * @returns the body of the answer, or undefined when it has been streamed
 * @throws OctavoError what the engine throws, unless the stream has begun: the error is then its
 *   last event
 */
export async function answer(
  host: RequestHost,
  service: ModelService,
  request: FastifyRequest,
  reply: FastifyReply,
  options: {
    /** One for each prompt; usage counts a prompt once. */
    readonly requests: readonly TextRequest[];
    /** Checks of the grammar that they share. */
    readonly checks: readonly GrammarCheck[];
    readonly format: AnswerFormat;
    readonly stream: boolean;
    readonly streamOptions: StreamOptions | null;
    readonly record: GenerationRecord;
  },
): Promise<object | undefined> {
  const { requests, format, record } = options;
  record.stream = options.stream;
  const prompts = requests.map(({ engine }) => engine);
  return runInFlight(host, service, request, reply, record, costOf(prompts), async (running) => {
    await service.grammars.check(options.checks, prompts[0].client, running.controller.signal);
    if (options.stream) pauseUnread(service, requests, running);
    const outputs = runRequests(host, service, requests, request.arrivedAt, running, record);
    if (!options.stream) {
      const count = prompts.reduce((sum, { ids }) => sum + ids.length, 0);
      return collect(outputs, count, format, record);
    }
    const shown = options.checks.length > 0 ? await untilBegun(outputs) : outputs;
    const sse = new SseStream(reply, host.clock, running);
    await stream(host.logger, reply, sse, shown, format, record, options.streamOptions);
    return undefined;
  });
}

async function collect(
  outputs: AsyncIterable<ChoiceDelta>,
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
  logger: Logger,
  reply: FastifyReply,
  sse: SseStream,
  outputs: AsyncIterable<ChoiceDelta>,
  format: AnswerFormat,
  record: GenerationRecord,
  options: StreamOptions | null,
): Promise<void> {
  const includeUsage = options?.include_usage === true;
  const isContinuous = options?.continuous_usage_stats === true;
  // The same in all chunks of a stream, so serialized once.
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
    sse.fail(errorBody(streamFailure(logger, reply, record, error)));
  }
}

export function usageOf(record: GenerationRecord): Usage {
  const { promptTokens, completionTokens, cachedTokens, reasoningTokens, predicted } = record;
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
    completion_tokens_details: {
      reasoning_tokens: reasoningTokens,
      ...(predicted && {
        accepted_prediction_tokens: predicted.accepted,
        rejected_prediction_tokens: predicted.rejected,
      }),
    },
  };
}
