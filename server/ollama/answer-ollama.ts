import type { FastifyReply, FastifyRequest } from 'fastify';
import type { MessageEvent } from '../../engine/generation/message-reader.js';
import type { TextRequest } from '../../engine/generation/text-request.js';
import type { ChoiceDelta } from '../../engine/generation/visible-text.js';
import type { GrammarCheck } from '../../engine/grammar/check-messages.js';
import type { TokenId } from '../../scheduler/ids.js';
import { pauseUnread, runRequests, untilBegun } from '../generation/run.js';
import {
  type RequestHost,
  type Running,
  runInFlight,
  streamFailure,
} from '../generation/run-in-flight.js';
import { toOllamaBody } from '../http/errors.js';
import { ReplyStream } from '../http/reply-stream.js';
import { costOf } from '../limits/cost.js';
import type { ModelService } from '../models.js';
import type { LogprobWriter } from '../openai/logprobs.js';
import type { GenerationRecord } from '../request-record.js';
import { type MessagePart, MessageParts } from './message-parts.js';

export interface OllamaAnswer {
  /** With one completion. */
  readonly request: TextRequest;
  /** Of its grammar. */
  readonly checks: readonly GrammarCheck[];
  readonly record: GenerationRecord;
  /** The model's name, as the client wrote it. */
  readonly model: string;
  readonly stream: boolean;
  readonly newCallId: () => string;
  /** Milliseconds for which the request waited for the model. */
  readonly loadMs: number;
  /** Of chats, a message; else a text. */
  readonly form: 'message' | 'response';
  /** Whether the last object has the tokens of prompt and answer. */
  readonly showsContext: boolean;
  /** How many likely tokens are shown at each place; null: no log-probabilities. */
  readonly logprobs: number | null;
  readonly writer: LogprobWriter;
}

/** Objects of one stream, a line each. */
const CONTENT_TYPE = 'application/x-ndjson';

const lineOf = (data: object): string => `${JSON.stringify(data)}\n`;

/**
 * Generates a text and answers with it: whole, or as lines of JSON.
 *
 * @returns the answer, or undefined when it has been streamed
 * @throws OctavoError what the engine throws, unless the stream has begun: its last line is then
 *   an error
 */
export async function answerOllama(
  host: RequestHost,
  service: ModelService,
  request: FastifyRequest,
  reply: FastifyReply,
  options: OllamaAnswer,
): Promise<object | undefined> {
  const { record, checks, request: planned } = options;
  record.stream = options.stream;
  const cost = costOf([planned.engine]);
  return runInFlight(host, service, request, reply, record, cost, async (running) => {
    await service.grammars.check(checks, planned.engine.client, running.controller.signal);
    if (options.stream) pauseUnread(service, [planned], running);
    const outputs = runRequests(host, service, [planned], request.arrivedAt, running, record);
    if (!options.stream) return whole(host, request, outputs, options);
    const shown = checks.length > 0 ? await untilBegun(outputs) : outputs;
    await stream(host, request, reply, running, shown, options);
    return undefined;
  });
}

async function whole(
  host: RequestHost,
  request: FastifyRequest,
  outputs: AsyncIterable<ChoiceDelta>,
  options: OllamaAnswer,
): Promise<object> {
  const events: MessageEvent[] = [];
  const tokenIds: TokenId[] = [];
  const logprobs: object[] = [];
  for await (const output of outputs) {
    events.push(...output.events);
    tokenIds.push(...output.tokenIds);
    logprobs.push(...logprobsOf(output, options));
  }
  const part = new MessageParts(options.newCallId).take(events, true) ?? { content: '' };
  return {
    ...head(options),
    ...body(part, options),
    ...(options.logprobs !== null && { logprobs }),
    ...ending(host, request, tokenIds, options),
  };
}

async function stream(
  host: RequestHost,
  request: FastifyRequest,
  reply: FastifyReply,
  running: Running,
  outputs: AsyncIterable<ChoiceDelta>,
  options: OllamaAnswer,
): Promise<void> {
  const lines = new ReplyStream(reply, host.clock, running, CONTENT_TYPE);
  const parts = new MessageParts(options.newCallId);
  const tokenIds: TokenId[] = [];
  try {
    for await (const output of outputs) {
      if (options.showsContext) tokenIds.push(...output.tokenIds);
      const scored = logprobsOf(output, options);
      const part = parts.take(output.events, output.finishReason !== null);
      if (part === null && scored.length === 0) continue;
      await lines.write(
        lineOf({
          ...head(options),
          ...body(part ?? { content: '' }, options),
          ...(scored.length > 0 && { logprobs: scored }),
          done: false,
        }),
      );
    }
    const last = {
      ...head(options),
      ...body({ content: '' }, options),
      ...ending(host, request, tokenIds, options),
    };
    lines.end(lineOf(last));
  } catch (error) {
    const known = streamFailure(host.logger, reply, options.record, error);
    lines.fail(lineOf(toOllamaBody(known)));
  }
}

const head = ({ model }: Pick<OllamaAnswer, 'model'>) => ({
  model,
  created_at: new Date().toISOString(),
});

function body(part: MessagePart, { form }: OllamaAnswer): object {
  if (form === 'message') return { message: { role: 'assistant', ...part } };
  const { content, ...rest } = part;
  return { response: content, ...rest };
}

function logprobsOf({ scored }: ChoiceDelta, { logprobs, writer }: OllamaAnswer): object[] {
  return logprobs === null ? [] : writer.list(scored, logprobs);
}

/** The answer to a request that only loads or unloads its model. */
export function emptyAnswer(
  model: string,
  form: OllamaAnswer['form'],
  reason: 'load' | 'unload',
): object {
  const text =
    form === 'message' ? { message: { role: 'assistant', content: '' } } : { response: '' };
  return { ...head({ model }), ...text, done: true, done_reason: reason };
}

/** How it ended, and how long it took; Ollama counts in nanoseconds. */
function ending(
  { clock }: RequestHost,
  { arrivedAt }: FastifyRequest,
  tokenIds: readonly TokenId[],
  { record, request, showsContext, loadMs }: OllamaAnswer,
): object {
  const { ttftMs, generatedMs, prefillMs } = record;
  const evalMs = ttftMs === null || generatedMs === null ? 0 : generatedMs - ttftMs;
  return {
    done: true,
    done_reason: record.finishReason === 'length' ? 'length' : 'stop',
    ...(showsContext && { context: [...request.engine.promptTokenIds, ...tokenIds] }),
    total_duration: nanoseconds(clock.now() - arrivedAt),
    load_duration: nanoseconds(loadMs),
    prompt_eval_count: record.promptTokens,
    prompt_eval_duration: nanoseconds(prefillMs ?? 0),
    eval_count: record.completionTokens,
    eval_duration: nanoseconds(evalMs),
  };
}

export const nanoseconds = (ms: number): number => Math.round(ms * 1e6);
