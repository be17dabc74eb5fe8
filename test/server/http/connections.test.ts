import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../../engine/clock.js';
import type { Settings } from '../../../server/config/settings.js';
import { bytesOf } from '../../support/byte-model.js';
import { ScriptedEngine } from '../../support/scripted-engine.js';
import {
  eventually,
  startTestServer,
  stopTestServers,
  type TestServer,
} from '../../support/test-server.js';

afterEach(stopTestServers);

const CHAT_BODY = JSON.stringify({ messages: [{ role: 'user', content: 'Hi' }] });
const CHAT =
  'POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n' +
  `Content-Length: ${CHAT_BODY.length}\r\n\r\n${CHAT_BODY}`;

/** Answers nothing until it is aborted. */
const silent = (): ScriptedEngine => new ScriptedEngine(() => ({ steps: [], finish: null }));

const start = (settings: Partial<Settings> = {}, engine = silent()): Promise<TestServer> =>
  startTestServer(engine, { settings });

interface Held {
  readonly socket: Socket;
  readonly text: () => string;
  /** Resolves when the server has let go of it. */
  readonly gone: Promise<void>;
}

/** A client that keeps its side open, whatever the server does. */
async function hold({ port }: TestServer, text = ''): Promise<Held> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  let answer = '';
  socket.on('data', (chunk) => (answer += String(chunk))).on('error', () => undefined);
  await once(socket, 'connect');
  if (text !== '') socket.write(text);
  const gone = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  return { socket, text: () => answer, gone };
}

const holdMany = (server: TestServer, count: number, text = ''): Promise<Held[]> =>
  Promise.all(Array.from({ length: count }, () => hold(server, text)));

/** Connections that the server has. */
const count = ({ app }: TestServer): Promise<number> =>
  new Promise((resolve, reject) =>
    app.server.getConnections((error, number) => (error ? reject(error) : resolve(number))),
  );

async function statusOf(server: TestServer, path: string): Promise<number> {
  const response = await fetch(server.url + path, { headers: { connection: 'close' } });
  await response.text();
  return response.status;
}

const release = (held: readonly Held[]): void => {
  for (const { socket } of held) socket.destroy();
};

describe('a connection that had its last answer is given back, though the client keeps its side', () => {
  test.each([
    ['no HTTP', 60, 'GARBAGE\r\n\r\n', /^HTTP\/1.1 400 /],
    ['nothing', 1, '', /^HTTP\/1.1 408 /],
    ['half a request', 1, 'GET / HTTP/1.1\r\nHost: local', /^HTTP\/1.1 408 /],
    ['no proxy', 60, 'CONNECT a.example:80 HTTP/1.1\r\nHost: a.example\r\n\r\n', /^HTTP\/1.1 405 /],
  ])('%s', async (_, receiveTimeout, text, answer) => {
    const server = await start({ receiveTimeout });
    const held = await holdMany(server, 50, text);
    await eventually(() => held.every((h) => answer.test(h.text())), 'answers');
    await eventually(async () => (await count(server)) === 0, 'none is left');
    expect(held.every(({ socket }) => socket.writable)).toBe(true);
    release(held);
  });

  test('also one that goes on sending', async () => {
    const server = await start();
    const { socket, gone } = await hold(server, 'GARBAGE\r\n\r\n');
    const timer = setInterval(() => socket.write(CHAT), 20);
    await gone;
    clearInterval(timer);
    expect(await count(server)).toBe(0);
  });
});

describe('when all connections are taken', () => {
  test('by requests: health and metrics are served, everything else gets 503', async () => {
    const engine = silent();
    const server = await start({ maxConnections: 20 }, engine);
    const held = await holdMany(server, 20, CHAT);
    await eventually(() => engine.submitted.length === 20, 'all at work');
    // Each over a connection of its own, one after the other: the reserve is given back.
    for (let i = 0; i < 100; i++) expect(await statusOf(server, '/health')).toBe(200);
    expect(await statusOf(server, '/metrics')).toBe(200);
    expect(await statusOf(server, '/v1/models')).toBe(503);
    release(held);
    await eventually(() => engine.alive.length === 0, 'they leave');
    expect(await statusOf(server, '/v1/models')).toBe(200);
  });

  test('by requests, and the reserve by silence: health is served', async () => {
    const engine = silent();
    const server = await start({ maxConnections: 20 }, engine);
    const held = await holdMany(server, 20, CHAT);
    await eventually(() => engine.submitted.length === 20, 'all at work');
    const flood = await holdMany(server, 500);
    expect(await statusOf(server, '/health')).toBe(200);
    // Limit, reserve, and those that have had their last answer.
    expect(await count(server)).toBeLessThanOrEqual(20 + 64 + 256);
    const isRefused = (h: Held): boolean => /^HTTP\/1.1 503 [^]*"overloaded"/.test(h.text());
    await eventually(() => flood.filter(isRefused).length > 200, 'most are told so');
    await eventually(async () => (await count(server)) <= 20 + 64, 'the flood ebbs');
    release([...held, ...flood]);
  });

  test('by silence: those that have been silent longest make room, and everything is served', async () => {
    let now = 0;
    const server = await startTestServer(silent(), {
      settings: { maxConnections: 20 },
      clock: { ...systemClock, now: () => now },
    });
    const held = await holdMany(server, 20);
    expect(await statusOf(server, '/v1/models')).toBe(503);
    now = 1000;
    for (let i = 0; i < 30; i++) expect(await statusOf(server, '/v1/models')).toBe(200);
    const wasEnded = (): boolean => held.some((h) => h.text().startsWith('HTTP/1.1 503 '));
    await eventually(wasEnded, 'a silent one was told so');
    release(held);
  });

  test('a connection of the reserve moves up when a place is free', async () => {
    const engine = silent();
    const server = await start({ maxConnections: 1 }, engine);
    const first = await hold(server, CHAT);
    await eventually(() => engine.submitted.length === 1, 'at work');
    const second = await hold(server);
    first.socket.destroy();
    await eventually(() => engine.alive.length === 0, 'the first leaves');
    second.socket.write('GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await eventually(() => second.text() !== '', 'an answer');
    expect(second.text()).toMatch(/^HTTP\/1.1 200 /);
    release([second]);
  });
});

describe('a client that closes its side', () => {
  const writing = (delay = 0): ScriptedEngine =>
    new ScriptedEngine(() => ({
      steps: [bytesOf('a'), bytesOf('b')],
      finish: 'length',
      beforeStep: () => new Promise((resolve) => setTimeout(resolve, delay)),
    }));
  const streaming = CHAT.replace(CHAT_BODY, CHAT_BODY.replace('}]}', '}],"stream":true}')).replace(
    /Content-Length: \d+/,
    `Content-Length: ${CHAT_BODY.length + 14}`,
  );

  test.each([
    ['whole', CHAT, /"content":"ab"/],
    ['as a stream', streaming, /data: \[DONE\]/],
  ])('gets its answer, %s', async (_, text, answer) => {
    const server = await start({}, writing(100));
    const client = await hold(server, text);
    client.socket.end();
    await client.gone;
    expect(client.text()).toMatch(/HTTP\/1.1 200 /);
    expect(client.text()).toMatch(answer);
  });

  test('and asks for nothing is closed', async () => {
    const server = await start();
    const client = await hold(server);
    client.socket.end();
    await client.gone;
    expect(client.text()).toBe('');
  });

  test.each([
    ['whole', CHAT],
    ['as a stream', streaming],
    ['by HTTP/1.0', CHAT.replace('HTTP/1.1', 'HTTP/1.0')],
  ])('and has left altogether is noticed at once, %s', async (_, text) => {
    const engine = silent();
    const server = await start({}, engine);
    const client = await hold(server, text);
    await eventually(() => engine.submitted.length === 1, 'at work');
    client.socket.destroy();
    await eventually(() => engine.alive.length === 0, 'the end');
    expect(engine.submitted[0].ended).toBe('aborted');
  });
});

describe('a method that Node does not know', () => {
  test('is not allowed on a route, and finds none elsewhere', async () => {
    const server = await start();
    const ask = async (path: string): Promise<string> => {
      const client = await hold(server, `QUERYING ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
      await eventually(() => client.text().endsWith('}'), 'an answer');
      client.socket.destroy();
      return client.text();
    };
    const known = await ask('/v1/models?a=b');
    expect(known).toMatch(/^HTTP\/1.1 405 Method Not Allowed\r\n[^]*allow: GET, HEAD\r\n/);
    expect(known).toContain('QUERYING /v1/models is not allowed; this route takes GET, HEAD');
    expect(await ask('/v1/responses/input_tokens')).toContain('\r\nallow: POST\r\n');
    expect(await ask('/nowhere')).toMatch(/^HTTP\/1.1 404 /);
  });
});
