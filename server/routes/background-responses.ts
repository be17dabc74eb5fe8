import type { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Clock } from '../../engine/clock.js';
import { OctavoError } from '../../engine/errors.js';
import { SseStream } from '../http/sse.js';
import {
  type BackgroundResponses,
  TICKET_HEADER,
} from '../openai/responses/background-responses.js';
import type { ResponseEvent } from '../openai/responses/output-items.js';
import type { ResponseBody } from '../openai/responses/response-fields.js';
import type { ResponseObject } from '../openai/responses/response-object.js';
import type { RunningResponse } from '../openai/responses/running-response.js';
import type { TypedApp } from './typed-app.js';

/** Headers of one connection, or of one body. */
const NOT_FORWARDED: ReadonlySet<string> = new Set([
  'connection',
  'content-encoding',
  'content-length',
  'expect',
  'keep-alive',
  'transfer-encoding',
  'x-request-id',
]);

const forwarded = <Value>(headers: Readonly<Record<string, Value>>): Record<string, Value> =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => !NOT_FORWARDED.has(name)));

export interface BackgroundRequest {
  readonly body: ResponseBody;
  /** The client. */
  readonly owner: string;
  /** Whether anything is kept. */
  readonly keeps: boolean;
}

/**
 * Begins a background response, and answers with it as it is then, or with its events.
 *
 * @returns the response; undefined when its events, or an error, have been sent
 * @throws OctavoError `invalid_request` for a response that would not be kept
 */
export async function startBackground(
  app: TypedApp,
  clock: Clock,
  background: BackgroundResponses,
  request: FastifyRequest,
  reply: FastifyReply,
  { body, owner, keeps }: BackgroundRequest,
): Promise<object | undefined> {
  if (body.store === false || !keeps) {
    const message = keeps
      ? 'background is allowed only with store: true'
      : 'background: this server keeps no responses (--max-stored-responses 0)';
    throw new OctavoError('invalid_request', message, { param: 'background' });
  }
  const ticket = background.issue();
  const { stream_options: _options, ...fields } = body;
  try {
    const answer = await app.inject({
      method: 'POST',
      url: '/v1/responses',
      headers: {
        ...(forwarded(request.headers) as Record<string, string>),
        [TICKET_HEADER]: ticket,
      },
      payload: { ...fields, stream: true },
      remoteAddress: request.ip,
      payloadAsStream: true,
    });
    if (answer.statusCode !== 200) {
      for (const [name, value] of Object.entries(forwarded(answer.headers))) {
        if (value !== undefined) reply.header(name, value);
      }
      const text = (await answer.stream().toArray()).join('');
      await reply.code(answer.statusCode).send(text);
      return undefined;
    }
    const events = readEvents(answer.stream());
    const first = await events.next();
    if (first.done === true) throw new OctavoError('internal', 'a response did not begin');
    const running = background.begin(ticket, first.value['response'] as ResponseObject, owner);
    running.push(first.value);
    void follow(events, running).finally(() => background.end(running));
    if (body.stream !== true) return running.stored.response;
    await sendEvents(reply, clock, running, -1);
    return undefined;
  } finally {
    background.discard(ticket);
  }
}

/** Sends the events of a background response that come after one. */
export async function sendEvents(
  reply: FastifyReply,
  clock: Clock,
  running: RunningResponse,
  after: number,
): Promise<void> {
  const sse = new SseStream(reply, clock);
  for await (const event of running.events(after)) {
    if (reply.raw.destroyed) return;
    await sse.send(event, event.type);
  }
  sse.end();
}

/** Of a response that has ended, the last event alone is there: it says all of it. */
export async function sendEnd(
  reply: FastifyReply,
  clock: Clock,
  response: ResponseObject,
  after: number,
): Promise<void> {
  const sse = new SseStream(reply, clock);
  const type = `response.${response.status}`;
  // There is no event of a cancelled response.
  if (response.status !== 'cancelled') {
    await sse.send({ type, sequence_number: after + 1, response }, type);
  }
  sse.end();
}

async function follow(
  events: AsyncGenerator<ResponseEvent, void>,
  running: RunningResponse,
): Promise<void> {
  try {
    for await (const event of events) running.push(event);
  } catch {
    // A request that was ended closes its answer early: `stop` says what becomes of it.
  }
  running.stop();
}

/** Events of an answer that is streamed. */
async function* readEvents(stream: Readable): AsyncGenerator<ResponseEvent, void> {
  let text = '';
  for await (const chunk of stream.setEncoding('utf8') as AsyncIterable<string>) {
    const parts = (text + chunk).split('\n\n');
    text = parts.pop() ?? '';
    for (const part of parts) {
      const data = part.split('\n').find((line) => line.startsWith('data: '));
      if (data !== undefined) yield JSON.parse(data.slice('data: '.length)) as ResponseEvent;
    }
  }
}
