import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterEach, expect, test, vi } from 'vitest';
import { bytesOf } from '../../support/byte-model.js';
import { ManualTimers } from '../../support/manual-timers.js';
import { ScriptedEngine } from '../../support/scripted-engine.js';
import {
  eventually,
  startTestServer,
  stopTestServers,
  type TestServer,
} from '../../support/test-server.js';

afterEach(stopTestServers);

const CHAT = '/v1/chat/completions';
const messages = [{ role: 'user', content: 'Hi' }];
const scored = { messages, logprobs: true, top_logprobs: 20 };

/** More than the buffers of two sockets hold: about 2 KB of JSON for each token. */
const MANY = 12_000;

/** Generates many tokens, whether they are read or not. */
const eager = (tokens = MANY): ScriptedEngine =>
  new ScriptedEngine(
    ({ maxTokens }) => ({
      steps: Array.from({ length: Math.min(maxTokens, tokens) / 4 }, () => bytesOf('abcd')),
      finish: 'length',
    }),
    { maxModelLength: 100_000 },
    true,
  );

/** Sends a request and reads nothing. */
async function silent({ port }: TestServer, body: object, path = CHAT): Promise<Socket> {
  const socket = connect(port, '127.0.0.1').on('error', () => undefined);
  await once(socket, 'connect');
  socket.pause();
  const text = JSON.stringify({ stream: true, ...body });
  socket.write(
    `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${text.length}\r\nConnection: close\r\n\r\n${text}`,
  );
  return socket;
}

async function rest(socket: Socket): Promise<string> {
  let text = '';
  for await (const chunk of socket.setEncoding('utf8')) text += String(chunk);
  return text;
}

/** Of `choices`, the log-probabilities that came. */
const tokensIn = (text: string): number => text.match(/"top_logprobs":\[/g)?.length ?? 0;

test('a stream that nobody reads pauses, others go on, and it gets all when it reads', async () => {
  const engine = eager();
  const server = await startTestServer(engine, { settings: { maxUnreadOutput: 100_000 } });
  const socket = await silent(server, scored);
  await eventually(() => engine.paused.size === 1, 'the pause');
  const taken = engine.submitted[0].taken;
  const other = await server.post(CHAT, { ...scored, max_tokens: 100, stream: true });
  expect(tokensIn(await other.text())).toBe(100);
  expect(engine.submitted[0].taken - taken).toBeLessThanOrEqual(1);
  expect(engine.submitted[0].taken).toBeLessThan(MANY / 4);
  const text = await rest(socket);
  expect(tokensIn(text)).toBe(MANY);
  expect(text).toMatch(/data: \[DONE\]\n\n\r\n0/);
  expect(engine.paused.size).toBe(0);
});

test.each([CHAT, '/v1/responses'])(
  'a client that reads nothing for too long is let go (%s)',
  async (path) => {
    const engine = eager(200_000);
    const pause = vi.spyOn(engine, 'pause');
    const server = await startTestServer(engine, {
      settings: { maxUnreadOutput: 100_000, unreadTimeout: 1 },
    });
    const body =
      path === CHAT
        ? { ...scored, n: 4 }
        : { input: 'Hi', include: ['message.output_text.logprobs'], top_logprobs: 20 };
    await silent(server, body, path);
    await eventually(() => engine.submitted.length > 0, 'the start');
    await eventually(() => engine.alive.length === 0, 'the end');
    expect(pause).toHaveBeenCalled();
    const line = (): object | undefined => server.log.find(({ msg }) => msg === 'request');
    await eventually(() => line() !== undefined, 'the log line');
    expect(line()).toMatchObject({ finishReason: 'abort', error: 'output_unread' });
  },
);

test('a stream that stands still ends when its time is over', async () => {
  const engine = eager(200_000);
  const timers = new ManualTimers();
  const server = await startTestServer(engine, {
    clock: timers.clock,
    settings: { maxUnreadOutput: 100_000 },
  });
  await silent(server, { ...scored, n: 4 });
  await eventually(() => engine.paused.size > 0, 'the pause');
  timers.fire(300, 600);
  await server.inFlight.idle();
  await eventually(() => engine.alive.length === 0, 'all choices have ended');
  const line = (): object | undefined => server.log.find(({ msg }) => msg === 'request');
  expect(line()).toBeUndefined();
  // Its last event has not been read.
  timers.fire(4, 5);
  await eventually(() => line() !== undefined, 'the connection is closed');
  expect(line()).toMatchObject({ error: 'generation_timeout' });
});

test('a whole answer that is too large ends with an error that says what to do', async () => {
  const engine = eager();
  const server = await startTestServer(engine, { settings: { maxOutputMemory: 40 * 2 ** 20 } });
  const response = await server.post(CHAT, { ...scored, n: 8 });
  expect(response.status).toBe(400);
  expect(await response.json()).toMatchObject({
    error: {
      code: 'output_too_large',
      message:
        'the answer is larger than 10 MiB, which is all that is kept of one: stream it, or ask for fewer tokens, choices or log-probabilities',
    },
  });
  await eventually(() => engine.alive.length === 0, 'the end');
  const small = await server.post(CHAT, { ...scored, n: 8, max_tokens: 16 });
  expect(small.status).toBe(200);
});

test('whole answers that nobody reads are let go when memory is short, the largest first', async () => {
  const engine = eager();
  const server = await startTestServer(engine, { settings: { maxOutputMemory: 64 * 2 ** 20 } });
  // About 13 MB each, as it is counted, of which sockets take half.
  const unread = { ...scored, max_tokens: 6000, stream: false };
  const sockets = await Promise.all(Array.from({ length: 6 }, () => silent(server, unread)));
  const failed = (): number => server.log.filter(({ error }) => error === 'overloaded').length;
  await eventually(() => failed() > 0, 'one to be let go');
  const chat = await server.post(CHAT, { ...scored, max_tokens: 16 });
  expect(chat.status).toBe(200);
  for (const socket of sockets) socket.destroy();
});
