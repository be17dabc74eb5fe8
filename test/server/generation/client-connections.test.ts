import { type IncomingMessage, request } from 'node:http';
import { afterEach, expect, test } from 'vitest';
import { type Clock, systemClock } from '../../../engine/clock.js';
import { ByteLevelDetokenizer } from '../../../engine/text/byte-level.js';
import { byteModel, bytesOf } from '../../support/byte-model.js';
import { ScriptedEngine } from '../../support/scripted-engine.js';
import { eventually, startTestServer, stopTestServers } from '../../support/test-server.js';

afterEach(stopTestServers);

const CHAT = '/v1/chat/completions';
const messages = [{ role: 'user', content: 'Hi' }];

/** Says one thing, then nothing more. */
const hanging = (): ScriptedEngine =>
  new ScriptedEngine(() => ({ steps: [bytesOf('a')], finish: null }));

/** A request over a separate connection, whose answer is not read yet. */
async function open(
  port: number,
  body: object,
): Promise<{ destroy: () => void; response: Promise<IncomingMessage> }> {
  const call = request({
    port,
    host: '127.0.0.1',
    path: CHAT,
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    agent: false,
  });
  const response = new Promise<IncomingMessage>((resolve) => call.once('response', resolve));
  call.on('error', () => undefined);
  call.end(JSON.stringify(body));
  return { destroy: () => call.destroy(), response };
}

test.each([true, false])('a client that leaves aborts its request (stream: %s)', async (stream) => {
  const engine = hanging();
  const server = await startTestServer(engine);
  const { destroy } = await open(server.port, { messages, stream, n: 2 });
  await eventually(() => engine.submitted.filter(({ taken }) => taken === 1).length === 2, 'start');
  destroy();
  await eventually(() => engine.alive.length === 0, 'abort');
  expect(engine.submitted.map(({ ended }) => ended)).toEqual(['aborted', 'aborted']);
  const line = (): object | undefined => server.log.find(({ msg }) => msg === 'request');
  await eventually(() => line() !== undefined, 'log line');
  expect(line()).toMatchObject({ finishReason: 'abort', status: stream ? 200 : 499 });
  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  expect(metrics).toMatch(/request_success_total\{finished_reason="abort".*\} 2/);
});

test('a slow reader stops the reading of its outputs only, and then gets all', async () => {
  // One token with a long text: the test is about bytes on the way, not about tokens.
  const LONG = 0;
  const table = [Buffer.from('Z'.repeat(20_000)), Buffer.from('y')];
  const tokenizer = {
    ...byteModel.tokenizer,
    createDetokenizer: () => new ByteLevelDetokenizer(table),
  };
  const steps = Array.from({ length: 400 }, () => [LONG]);
  const short = Array.from({ length: 50 }, () => [1]);
  const engine = new ScriptedEngine(({ maxTokens }) => ({
    steps: maxTokens === 50 ? short : steps,
    finish: 'length',
  }));
  const { port, post } = await startTestServer(engine, { model: { ...byteModel, tokenizer } });
  const { response } = await open(port, { messages, stream: true });
  const incoming = await response;
  const taken = (): number => engine.submitted[0]?.taken ?? 0;
  let before = -1;
  while (taken() !== before || before === 0) {
    before = taken();
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
  // What is under way fits into the buffers of two sockets.
  const stalledAt = taken();
  expect(stalledAt).toBeLessThan(400);
  // Another stream runs as if the slow one were not there.
  const other = await post(CHAT, { messages, stream: true, max_tokens: 50 });
  expect((await other.text()).match(/"content":"y"/g)).toHaveLength(50);
  expect(taken()).toBe(stalledAt);
  let length = 0;
  for await (const chunk of incoming.setEncoding('utf8')) {
    length += String(chunk).match(/Z/g)?.length ?? 0;
  }
  expect(taken()).toBe(400);
  expect(length).toBe(400 * 20_000);
});

const nothing = (): void => undefined;

test('a silent stream is kept open with pings', async () => {
  let ping = nothing;
  let restarts = 0;
  const clock: Clock = {
    ...systemClock,
    startTimer: (action, ms) => {
      if (ms !== 15_000) return { restart: nothing, cancel: nothing };
      ping = action;
      return { restart: () => void restarts++, cancel: nothing };
    },
  };
  const engine = hanging();
  const { port } = await startTestServer(engine, {
    clock,
    settings: { requestTimeout: 0 },
  });
  const { response, destroy } = await open(port, { messages, stream: true });
  let text = '';
  (await response).setEncoding('utf8').on('data', (piece: string) => {
    text += piece;
  });
  await eventually(() => text.includes('"a"'), 'first token');
  const before = restarts;
  ping();
  await eventually(() => text.endsWith(': ping\n\n'), 'ping');
  expect(restarts).toBe(before + 1);
  destroy();
});

test('x-request-id comes back, also on a stream, unless it is unfit', async () => {
  const engine = new ScriptedEngine(() => ({ steps: [bytesOf('a')], finish: 'length' }));
  const { post, log } = await startTestServer(engine);
  const stream = await post(CHAT, { messages, stream: true }, { 'x-request-id': 'abc-1' });
  expect(stream.headers.get('x-request-id')).toBe('abc-1');
  expect(stream.headers.get('content-type')).toContain('text/event-stream');
  expect(await stream.text()).toMatch(/data: \[DONE\]\n\n$/);
  const unfit = await post(CHAT, { messages }, { 'x-request-id': 'a b' });
  expect(unfit.headers.get('x-request-id')).toMatch(/^[\da-f-]{36}$/);
  await eventually(() => log.filter(({ msg }) => msg === 'request').length === 2, 'log lines');
  expect(log[0]).toMatchObject({
    requestId: 'abc-1',
    model: 'byte-model',
    promptTokens: 19,
    completionTokens: 1,
    cachedTokens: 0,
    finishReason: 'length',
  });
  expect(JSON.stringify(log)).not.toContain('Hi');
});
