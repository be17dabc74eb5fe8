import type { FastifyReply, FastifyRequest } from 'fastify';
import type { TextRequest } from '../../engine/generation/text-request.js';
import type { ChoiceDelta } from '../../engine/generation/visible-text.js';
import type { GrammarCheck } from '../../engine/grammar/check-messages.js';
import { pauseUnread, runRequests, untilBegun } from '../generation/run.js';
import {
  type RequestHost,
  type Running,
  runInFlight,
  streamFailure,
} from '../generation/run-in-flight.js';
import { toAnthropicBody } from '../http/errors.js';
import { eventOf, SseStream } from '../http/sse.js';
import { costOf } from '../limits/cost.js';
import type { ModelService } from '../models.js';
import type { GenerationRecord } from '../request-record.js';
import { type Caching, type MessageUsage, messageUsage } from './caching.js';
import { type AnswerBlock, MessageBlocks, type StreamEvent } from './message-blocks.js';

export interface MessageOptions {
  /** With one completion. */
  readonly request: TextRequest;
  /** Of its grammar. */
  readonly checks: readonly GrammarCheck[];
  readonly record: GenerationRecord;
  /** The model's name, as the client wrote it. */
  readonly model: string;
  readonly stream: boolean;
  readonly newCallId: () => string;
  readonly showsThinking: boolean;
  /** Whether the context leaves less than the request's `max_tokens`. */
  readonly isCutByContext: boolean;
  readonly caching: Caching;
}

type StopReason =
  | 'end_turn'
  | 'max_tokens'
  | 'model_context_window_exceeded'
  | 'stop_sequence'
  | 'tool_use';

/** How a message ended; nothing is known of one that has only begun. */
interface Ending {
  readonly stop_reason: StopReason | null;
  readonly stop_sequence: string | null;
}

const OPEN: Ending = { stop_reason: null, stop_sequence: null };

/** Of things that only Anthropic's servers have. */
const ABSENT = { container: null, stop_details: null } as const;

/**
 * Generates a message and answers with it: whole, or as named events.
 *
 * @returns the message, or undefined when it has been streamed
 * @throws OctavoError what the engine throws, unless the stream has begun: it then ends with an
 *   event `error`
 */
export async function answerMessage(
  host: RequestHost,
  service: ModelService,
  request: FastifyRequest,
  reply: FastifyReply,
  options: MessageOptions,
): Promise<object | undefined> {
  const { record, checks, request: planned } = options;
  record.stream = options.stream;
  const cost = costOf([planned.engine]);
  return runInFlight(host, service, request, reply, record, cost, async (running) => {
    await service.grammars.check(checks, planned.engine.client, running.controller.signal);
    if (options.stream) pauseUnread(service, [planned], running);
    const outputs = runRequests(host, service, [planned], request.arrivedAt, running, record);
    if (options.stream) {
      const shown = checks.length > 0 ? await untilBegun(outputs) : outputs;
      await stream(host, service, reply, running, shown, options);
      return undefined;
    }
    const blocks = new MessageBlocks(options);
    let ending = OPEN;
    for await (const output of outputs) {
      for (const event of output.events) blocks.take(event);
      ending = endingOf(output, blocks, options);
    }
    blocks.end();
    return messageOf(options, blocks.blocks, ending, usageOf(service, options));
  });
}

async function stream(
  host: RequestHost,
  service: ModelService,
  reply: FastifyReply,
  running: Running,
  outputs: AsyncIterable<ChoiceDelta>,
  options: MessageOptions,
): Promise<void> {
  const { record } = options;
  const sse = new SseStream(reply, host.clock, running, eventOf(PING, PING.type));
  const send = async (...events: StreamEvent[]): Promise<void> => {
    for (const event of events) await sse.send(event, event.type);
  };
  const blocks = new MessageBlocks(options);
  let ending = OPEN;
  let hasBegun = false;
  try {
    for await (const output of outputs) {
      if (!hasBegun) {
        // Not earlier: now it is known how much of the prompt was cached.
        const usage = { ...usageOf(service, options), output_tokens: 0 };
        await send({ type: 'message_start', message: messageOf(options, [], OPEN, usage) }, PING);
        hasBegun = true;
      }
      await send(...output.events.flatMap((event) => blocks.take(event)));
      ending = endingOf(output, blocks, options);
    }
    const usage = usageOf(service, options);
    const delta = { ...ending, ...ABSENT };
    await send(...blocks.end(), { type: 'message_delta', delta, usage }, { type: 'message_stop' });
    sse.end();
  } catch (error) {
    const known = streamFailure(host.logger, reply, record, error);
    sse.fail(toAnthropicBody(known, reply.request.id), 'error');
  }
}

const PING = { type: 'ping' } as const;

function usageOf({ engine, settings }: ModelService, options: MessageOptions): MessageUsage {
  const blockSize = settings.enablePrefixCaching ? engine.info.blockSize : null;
  return messageUsage(options.record, options.caching, blockSize);
}

function messageOf(
  { record, model }: MessageOptions,
  content: readonly AnswerBlock[],
  ending: Ending,
  usage: MessageUsage,
): object {
  return {
    id: record.id,
    type: 'message',
    role: 'assistant',
    model,
    content,
    ...ending,
    ...ABSENT,
    usage,
  };
}

function endingOf(
  { finishReason, stopReason }: ChoiceDelta,
  { calls }: MessageBlocks,
  { isCutByContext }: MessageOptions,
): Ending {
  if (finishReason === null) return OPEN;
  if (typeof stopReason === 'string') {
    return { stop_reason: 'stop_sequence', stop_sequence: stopReason };
  }
  const cut = isCutByContext ? 'model_context_window_exceeded' : 'max_tokens';
  const ended = calls > 0 ? 'tool_use' : 'end_turn';
  return { stop_reason: finishReason === 'length' ? cut : ended, stop_sequence: null };
}
