import { connect } from 'node:net';
import { Redis } from 'ioredis';
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../engine/clock.js';
import { byteModel, bytesOf } from '../../support/byte-model.js';
import { hasProgram } from '../../support/debian-programs.js';
import { runOctavo } from '../../support/octavo-process.js';
import { startRedis } from '../../support/redis-process.js';
import { ScriptedEngine } from '../../support/scripted-engine.js';
import { eventually, startTestServer, stopTestServers } from '../../support/test-server.js';

afterEach(stopTestServers);

const COMPLETIONS = '/v1/completions';
const saying = (): ScriptedEngine =>
  new ScriptedEngine(() => ({ steps: [bytesOf('a'), bytesOf('b')], finish: 'length' }));
const silent = (): ScriptedEngine => new ScriptedEngine(() => ({ steps: [], finish: null }));

interface ErrorAnswer {
  readonly error: { readonly message: string; readonly code: string | null };
}

async function errorOf(response: Response): Promise<ErrorAnswer['error']> {
  return ((await response.json()) as ErrorAnswer).error;
}

describe('the queue', () => {
  it('answers 503 with Retry-After when it is full, and takes more when it is not', async () => {
    const engine = silent();
    const server = await startTestServer(engine, { settings: { maxQueuedRequests: 1 } });
    const controller = new AbortController();
    const first = fetch(server.url + COMPLETIONS, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ prompt: 'x' }),
      signal: controller.signal,
    }).catch(() => null);
    await eventually(() => engine.submitted.length === 1, 'the first is submitted');
    const second = await server.post(COMPLETIONS, { prompt: 'y' });
    expect(second.status).toBe(503);
    expect(second.headers.get('retry-after')).toBe('1');
    expect(await errorOf(second)).toMatchObject({ code: 'overloaded' });
    controller.abort();
    await first;
    await eventually(() => server.inFlight.size === 0, 'the first has left');
    const third = server.post(COMPLETIONS, { prompt: 'z' });
    await eventually(() => engine.submitted.length === 2, 'the third is submitted');
    server.app.server.closeAllConnections();
    await third.catch(() => null);
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    expect(metrics).toMatch(/admission_rejections_total\{reason="overloaded".*\} 1/);
  });
});

describe('the expected wait', () => {
  it('refuses what would wait longer than --max-queue-time, with a Retry-After of that order', async () => {
    const engine = silent();
    const server = await startTestServer(engine, {
      settings: { maxNumSeqs: 2, maxQueueTime: 2 },
    });
    const controllers = Array.from({ length: 4 }, () => new AbortController());
    const admitted = controllers.map(({ signal }) =>
      fetch(server.url + COMPLETIONS, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ prompt: 'x' }),
        signal,
      }).catch(() => null),
    );
    await eventually(() => engine.submitted.length === 4, 'two run and two wait');
    const refused = await server.post(COMPLETIONS, { prompt: 'y' });
    expect(refused.status).toBe(503);
    expect(await errorOf(refused)).toMatchObject({
      code: 'overloaded',
      message: expect.stringMatching(
        /would wait about \S+ s for its turn; at most 2 s are allowed/,
      ) as string,
    });
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(3);
    for (const controller of controllers) controller.abort();
    await Promise.all(admitted);
  });
});

describe('a client that takes all it can get', () => {
  it('leaves room for others: clients are keys', async () => {
    const engine = silent();
    const server = await startTestServer(engine, {
      apiKeys: ['one', 'two'],
      settings: { maxQueuedRequests: 4 },
    });
    const ask = (key: string): Promise<Response | null> =>
      server
        .post(COMPLETIONS, { prompt: 'x' }, { authorization: `Bearer ${key}` })
        .catch(() => null);
    const admitted = [ask('one'), ask('one'), ask('one')];
    await eventually(() => engine.submitted.length === 3, 'three of them wait');
    const refused = await ask('one');
    expect(refused?.status).toBe(503);
    expect(refused && (await errorOf(refused)).message).toContain(
      '3 of the same client wait already, which is its share of the queue',
    );
    admitted.push(ask('two'));
    await eventually(() => engine.submitted.length === 4, 'the other one waits, too');
    server.app.server.closeAllConnections();
    await Promise.all(admitted);
  });
});

describe('overload', () => {
  it('is refused before the body: 20 times what fits, and nothing of it is parsed or tokenized', async () => {
    let open = (): void => undefined;
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    const engine = new ScriptedEngine(() => ({
      steps: [bytesOf('a')],
      finish: 'length',
      beforeStep: () => gate,
    }));
    let tokenized = 0;
    const counting = {
      ...byteModel.tokenizer,
      encode: (...args: Parameters<typeof byteModel.tokenizer.encode>) => {
        tokenized++;
        return byteModel.tokenizer.encode(...args);
      },
    };
    const server = await startTestServer(engine, {
      model: { ...byteModel, tokenizer: counting },
      // Of which one client has three quarters.
      settings: { maxQueuedRequests: 13 },
    });
    const ask = async (path: string, body: unknown): Promise<number> => {
      const response = await server.post(path, body);
      if (response.status !== 503) return response.status;
      expect(response.headers.get('retry-after')).toBe('1');
      expect(await errorOf(response)).toMatchObject({ code: 'overloaded' });
      return 503;
    };
    const admitted = Array.from({ length: 10 }, () => ask(COMPLETIONS, { prompt: 'x' }));
    await eventually(() => engine.submitted.length === 10, 'the queue is full');
    const others: readonly (readonly [string, unknown])[] = [
      [COMPLETIONS, { prompt: 'y' }],
      ['/v1/chat/completions', { messages: [{ role: 'user', content: 'y' }] }],
      ['/v1/responses', { input: 'y' }],
      ['/v1/embeddings', { input: 'y' }],
      // A body that would be a 400 if it were parsed.
      [COMPLETIONS, '{"prompt": '],
    ];
    const flood = Array.from({ length: 190 }, (_, i) => ask(...others[i % others.length]));
    expect(new Set(await Promise.all(flood))).toEqual(new Set([503]));
    expect(tokenized).toBe(10);
    open();
    expect(new Set(await Promise.all(admitted))).toEqual(new Set([200]));
    expect(await ask(COMPLETIONS, { prompt: 'z' })).toBe(200);
    expect(engine.submitted).toHaveLength(11);
  });

  it('by tokens: a queue that holds all it may takes no prompt, however short', async () => {
    const engine = silent();
    const server = await startTestServer(engine, { settings: { maxQueuedTokens: 8 } });
    void server.post(COMPLETIONS, { prompt: 'x'.repeat(8) }).catch(() => null);
    await eventually(() => engine.submitted.length === 1, 'the first is submitted');
    const refused = await server.post(COMPLETIONS, 'no JSON');
    expect(refused.status).toBe(503);
    expect((await errorOf(refused)).message).toContain('8 prompt tokens wait already');
  });
});

describe('rate limits', () => {
  it('by requests: 429 with the headers that clients wait by', async () => {
    const server = await startTestServer(saying(), { settings: { rateLimitRequests: 2 } });
    const first = await server.post(COMPLETIONS, { prompt: 'x' });
    expect(first.headers.get('x-ratelimit-limit-requests')).toBe('2');
    expect(first.headers.get('x-ratelimit-remaining-requests')).toBe('1');
    expect(first.headers.get('x-ratelimit-reset-requests')).toMatch(/^\d+s$/);
    await server.post(COMPLETIONS, { prompt: 'x', stream: true });
    const third = await server.post(COMPLETIONS, { prompt: 'x' });
    expect(third.status).toBe(429);
    expect(Number(third.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(await errorOf(third)).toMatchObject({
      code: 'rate_limit_exceeded',
      type: 'rate_limit_error',
    });
  });

  it('by tokens: what a request may take is charged, what it did not use given back', async () => {
    const server = await startTestServer(saying(), { settings: { rateLimitTokens: 100 } });
    // 4 + 50 are charged; 4 + 2 are used.
    const first = await server.post(COMPLETIONS, { prompt: 'four', max_tokens: 50 });
    expect(first.headers.get('x-ratelimit-remaining-tokens')).toBe('46');
    const second = await server.post(COMPLETIONS, { prompt: 'four', max_tokens: 50 });
    expect(second.headers.get('x-ratelimit-remaining-tokens')).toBe('40');
    const never = await server.post(COMPLETIONS, { prompt: 'four', max_tokens: 97 });
    expect(never.status).toBe(400);
    expect((await errorOf(never)).message).toContain('may take 101 tokens; the limit is 100');
  });

  it('counts each key alone', async () => {
    const server = await startTestServer(saying(), {
      apiKeys: ['one', 'two'],
      settings: { rateLimitRequests: 1 },
    });
    const ask = (key: string): Promise<Response> =>
      server.post(COMPLETIONS, { prompt: 'x' }, { authorization: `Bearer ${key}` });
    expect((await ask('one')).status).toBe(200);
    expect((await ask('one')).status).toBe(429);
    expect((await ask('two')).status).toBe(200);
  });
});

describe.skipIf(!hasProgram('redis-server'))('rate limits in Redis', () => {
  it('are shared, and a Redis that dies is logged and stops nobody', async () => {
    const process = await startRedis();
    const redis = new Redis(process.url, { maxRetriesPerRequest: 0, enableOfflineQueue: false });
    redis.on('error', () => undefined);
    await new Promise((resolve) => redis.once('ready', resolve));
    const settings = { rateLimitRequests: 1 };
    const servers = [
      await startTestServer(saying(), { settings, redis }),
      await startTestServer(saying(), { settings, redis }),
    ];
    const ask = async (server: number): Promise<number> =>
      (await servers[server].post(COMPLETIONS, { prompt: 'x' })).status;
    expect([await ask(0), await ask(1)]).toEqual([200, 429]);
    await process.stop();
    expect(await ask(1)).toBe(200);
    expect(servers[1].log.map(({ msg }) => msg)).toContain('rate limits cannot be counted');
    redis.disconnect();
  });

  it('no Redis at start: one line, exit code 1', async () => {
    // A port that no program of this machine gets by chance.
    const url = 'redis://127.0.0.1:1';
    const { code, stderr } = await runOctavo(['serve', '--port', '0', '--redis-url', url]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^octavo: --redis-url: no Redis answers at 127\.0\.0\.1:\d+: .*\n$/);
  });
});

describe('single requests', () => {
  it('that take too long end with 504, or with an error chunk', async () => {
    const engine = silent();
    const server = await startTestServer(engine, { settings: { requestTimeout: 0.1 } });
    const whole = await server.post(COMPLETIONS, { prompt: 'x' });
    expect(whole.status).toBe(504);
    expect(await errorOf(whole)).toMatchObject({ code: 'generation_timeout' });
    const streamed = await server.post(COMPLETIONS, { prompt: 'x', stream: true });
    expect(await streamed.text()).toContain('"code":"generation_timeout"');
    expect(engine.alive).toEqual([]);
  });

  it('with a longer prompt than the server takes', async () => {
    const server = await startTestServer(saying(), { settings: { maxPromptTokens: 4 } });
    expect((await server.post(COMPLETIONS, { prompt: 'four' })).status).toBe(200);
    const longer = await server.post(COMPLETIONS, { prompt: ['x', 'fivee'] });
    expect(longer.status).toBe(400);
    expect((await errorOf(longer)).message).toContain('has 5 tokens; this server takes at most 4');
  });
});

describe('connections', () => {
  /** Sends bytes over a connection of its own. @returns all that comes back until it is closed */
  const raw = async (port: number, text: string): Promise<string> => {
    const socket = connect(port, '127.0.0.1');
    socket.write(text);
    let answer = '';
    for await (const chunk of socket) answer += String(chunk);
    return answer;
  };

  it('beyond the limit are answered with 503 and closed', async () => {
    // No connection is ever silent for long enough to make room.
    const server = await startTestServer(saying(), {
      settings: { maxConnections: 1 },
      clock: { ...systemClock, now: () => 0 },
    });
    const held = connect(server.port, '127.0.0.1');
    await new Promise((resolve) => held.once('connect', resolve));
    const answer = await raw(server.port, 'GET /version HTTP/1.1\r\nhost: localhost\r\n\r\n');
    expect(answer).toMatch(/^HTTP\/1\.1 503 .*"code":"overloaded"/s);
    held.write('GET /version HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n');
    let mine = '';
    for await (const chunk of held) mine += String(chunk);
    expect(mine).toMatch(/^HTTP\/1\.1 200 /);
  });

  it('that send too slowly get 408', async () => {
    const { port } = await startTestServer(saying(), { settings: { receiveTimeout: 1 } });
    const head = 'POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n';
    expect(await raw(port, head)).toMatch(/^HTTP\/1\.1 408 .*did not arrive in time/s);
  });

  it('that send too many headers get 431', async () => {
    const { port } = await startTestServer(saying());
    const head = `GET / HTTP/1.1\r\nhost: localhost\r\nbomb: ${'x'.repeat(20_000)}\r\n\r\n`;
    expect(await raw(port, head)).toMatch(/^HTTP\/1\.1 431 .*the headers are too large/s);
  });
});
