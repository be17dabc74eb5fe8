import type { FastifyReply, FastifyRequest } from 'fastify';
import { scoreBytes } from '../../../engine/client/output-size.js';
import type { Clock } from '../../../engine/clock.js';
import type { OctavoError } from '../../../engine/errors.js';
import type { ScoredToken } from '../../../engine/generation/held-tokens.js';
import type { TextRequest } from '../../../engine/generation/text-request.js';
import type { ChoiceDelta } from '../../../engine/generation/visible-text.js';
import type { GrammarCheck } from '../../../engine/grammar/check-messages.js';
import type { FinishReason } from '../../../scheduler/step-plan.js';
import { pauseUnread, runRequests, untilBegun } from '../../generation/run.js';
import {
  type RequestHost,
  type Running,
  runInFlight,
  streamFailure,
} from '../../generation/run-in-flight.js';
import { errorBody } from '../../http/errors.js';
import { SseStream } from '../../http/sse.js';
import { costOf } from '../../limits/cost.js';
import type { ModelService } from '../../models.js';
import type { GenerationRecord } from '../../request-record.js';
import { usageOf } from '../answer.js';
import { OutputItems, type ResponseEvent } from './output-items.js';
import {
  type ResponseError,
  type ResponseHead,
  type ResponseObject,
  type ResponseState,
  responseObject,
  responseUsage,
} from './response-object.js';

export interface AnswerOptions {
  /** With one completion. */
  readonly request: TextRequest;
  /** Of its grammar. */
  readonly checks: readonly GrammarCheck[];
  readonly head: ResponseHead;
  readonly stream: boolean;
  readonly record: GenerationRecord;
  readonly newCallId: () => string;
  /** Names of the tools whose input is a text. */
  readonly customTools: ReadonlySet<string>;
  /** Null: no log-probabilities are shown. Of answers that are text from end to end only. */
  readonly writeLogprobs: ((tokens: readonly ScoredToken[]) => object[]) | null;
  /**
   * Called with the finished response before the client sees it, so that it can be continued at
   * once.
   */
  readonly keep: (response: ResponseObject) => void;
}

/**
 * Generates a response and answers with it: whole, or as named events with sequence numbers.
 *
 * @returns the response, or undefined when it has been streamed
 * @throws OctavoError what the engine throws, unless the stream has begun: it then ends with
 *   `response.failed`
 */
export async function answerResponse(
  host: RequestHost,
  service: ModelService,
  request: FastifyRequest,
  reply: FastifyReply,
  options: AnswerOptions,
): Promise<ResponseObject | undefined> {
  const { record } = options;
  record.stream = options.stream;
  const cost = costOf([options.request.engine]);
  return runInFlight(host, service, request, reply, record, cost, async (running) => {
    const { arrivedAt } = request;
    const { checks, request: planned } = options;
    await service.grammars.check(checks, planned.engine.client, running.controller.signal);
    if (options.stream) pauseUnread(service, [planned], running);
    const outputs = runRequests(host, service, [planned], arrivedAt, running, record);
    if (options.stream) {
      const shown = checks.length > 0 ? await untilBegun(outputs) : outputs;
      await stream(host, reply, running, shown, options);
      return undefined;
    }
    const items = new OutputItems(options.customTools);
    let end: FinishReason | null = null;
    for await (const output of outputs) {
      grow(items, output, options);
      end = output.finishReason;
    }
    items.end(statusOf(end));
    const response = finish(host.clock, options, items, end);
    options.keep(response);
    return response;
  });
}

/** OpenAI's words for what has cut a response; the second one is the word of chats. */
const CUT_BY = { length: 'max_output_tokens', repetition: 'repetition' } as const;

const cutBy = (end: FinishReason | null): 'max_output_tokens' | 'repetition' | null =>
  end === null || end === 'stop' ? null : CUT_BY[end];

const statusOf = (end: FinishReason | null): 'completed' | 'incomplete' =>
  cutBy(end) === null ? 'completed' : 'incomplete';

function grow(
  items: OutputItems,
  { events, text, scored, finishReason }: ChoiceDelta,
  { newCallId, writeLogprobs }: AnswerOptions,
): ResponseEvent[] {
  if (writeLogprobs !== null) return items.text(text, writeLogprobs(scored));
  return events.flatMap((event, index) => {
    switch (event.kind) {
      case 'content':
        return items.text(event.text);
      case 'reasoning':
        return items.reasoning(event.text);
      case 'call':
        return items.beginCall(newCallId(), event.name);
      case 'arguments':
        return items.callArguments(event.text);
      case 'end': {
        // A call that was cut ends here, too; it is left open, to become incomplete.
        const cut = cutBy(finishReason) !== null && index === events.length - 1;
        return cut ? [] : items.endCall();
      }
    }
  });
}

async function stream(
  host: RequestHost,
  reply: FastifyReply,
  running: Running,
  outputs: AsyncIterable<ChoiceDelta>,
  options: AnswerOptions,
): Promise<void> {
  const { head, record } = options;
  const sse = new SseStream(reply, host.clock, running);
  let sequence = 0;
  const send = async (...events: ResponseEvent[]): Promise<void> => {
    for (const { type, ...fields } of events) {
      await sse.send({ type, sequence_number: sequence++, ...fields }, type);
    }
  };
  const items = new OutputItems(options.customTools);
  const begun = responseObject(head, { ...BEGUN, status: 'in_progress' });
  try {
    await send(
      { type: 'response.created', response: begun },
      { type: 'response.in_progress', response: begun },
    );
    let end: FinishReason | null = null;
    for await (const output of outputs) {
      // The last event says all of it again.
      running.output.keep(scoreBytes(output.scored.map(({ logprobs }) => logprobs)));
      await send(...grow(items, output, options));
      end = output.finishReason;
    }
    await send(...items.end(statusOf(end)));
    const response = finish(host.clock, options, items, end);
    options.keep(response);
    await send({ type: `response.${response.status}`, response });
  } catch (error) {
    const known = streamFailure(host.logger, reply, record, error);
    const failed = { ...BEGUN, status: 'failed', error: responseError(known) } as const;
    await send({
      type: 'response.failed',
      response: responseObject(head, { ...failed, output: items.items }),
    });
  }
  sse.end();
}

const BEGUN: Omit<ResponseState, 'status'> = {
  output: [],
  usage: null,
  error: null,
  completed_at: null,
};

function finish(
  clock: Clock,
  { head, record }: AnswerOptions,
  items: OutputItems,
  end: FinishReason | null,
): ResponseObject {
  const [status, reason] = [statusOf(end), cutBy(end)];
  return responseObject(head, {
    status,
    ...(reason !== null && { incomplete_details: { reason } }),
    output: items.items,
    usage: responseUsage(usageOf(record)),
    error: null,
    completed_at: status === 'completed' ? clock.unixSeconds() : null,
  });
}

/** OpenAI has codes of its own here. */
function responseError(error: OctavoError): ResponseError {
  const { status } = error.entry;
  const { message } = errorBody(error).error;
  if (status >= 500) return { code: 'server_error', message };
  return { code: status === 429 ? 'rate_limit_exceeded' : 'invalid_prompt', message };
}
