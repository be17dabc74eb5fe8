import { createServer } from 'node:net';
import { pino } from 'pino';
import { afterEach, expect, test } from 'vitest';
import { systemClock } from '../../engine/clock.js';
import { InlinePrompts } from '../../engine/generation/prompts/prompt-maker.js';
import { GrammarChecker } from '../../engine/grammar/grammar-checker.js';
import { buildApp } from '../../server/app.js';
import { loadSettings } from '../../server/config/load-settings.js';
import { type RunningServer, startServer } from '../../server/lifecycle.js';
import { byteModel, bytesOf } from '../support/byte-model.js';
import { ManualTimers } from '../support/manual-timers.js';
import { ScriptedEngine } from '../support/scripted-engine.js';
import { eventually } from '../support/test-server.js';

const servers: RunningServer[] = [];

afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.stop();
    await server.ended;
  }
});

const SHUTDOWN_SECONDS = 120;

const nothing = (): void => undefined;

async function start(engine: ScriptedEngine, { port = 0, clock = systemClock } = {}) {
  const logger = pino({ level: 'silent' });
  const settings = loadSettings({}, {});
  const { app, inFlight } = buildApp({
    models: [
      {
        engine,
        model: byteModel,
        prompts: new InlinePrompts(byteModel),
        grammars: new GrammarChecker(),
        settings,
      },
    ],
    settings,
    redis: null,
    logger,
    clock,
    randomSeed: () => 1,
  });
  const server = await startServer({
    app,
    inFlight,
    engines: [engine],
    logger,
    clock,
    door: { host: '127.0.0.1', port, uds: null },
    modelName: 'byte-model',
    shutdownTimeoutSeconds: SHUTDOWN_SECONDS,
  });
  servers.push(server);
  const chat = (stream: boolean): Promise<Response> =>
    fetch(`${server.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ messages: [{ role: 'user', content: 'x' }], stream }),
    });
  return { server, chat };
}

test('stop: new work gets 503, what runs is finished, the code is 0', async () => {
  let release = nothing;
  const gate = new Promise<void>((resolve) => {
    release = resolve;
  });
  const engine = new ScriptedEngine(() => ({
    steps: [bytesOf('a'), bytesOf('b')],
    finish: 'length',
    beforeStep: (step) => (step === 1 ? gate : undefined),
  }));
  const { server, chat } = await start(engine);
  expect((await fetch(`${server.url}/health`)).status).toBe(200);
  const running = chat(false);
  await eventually(() => engine.submitted[0]?.taken === 1, 'first step');
  server.stop();
  const refused = await chat(false);
  expect(refused.status).toBe(503);
  expect(refused.headers.get('retry-after')).toBe('1');
  expect(await refused.json()).toMatchObject({ error: { code: 'draining' } });
  expect((await fetch(`${server.url}/health`)).status).toBe(503);
  release();
  const answer = (await (await running).json()) as { choices: unknown[] };
  expect(answer.choices[0]).toMatchObject({ message: { content: 'ab' }, finish_reason: 'length' });
  expect(await server.ended).toBe(0);
  expect(engine.closed).toBe(true);
});

test('after the timeout, what still runs is aborted and told so', async () => {
  const engine = new ScriptedEngine(() => ({ steps: [bytesOf('a')], finish: null }));
  const timers = new ManualTimers();
  const { server, chat } = await start(engine, timers);
  const stream = chat(true).then((response) => response.text());
  const whole = chat(false);
  await eventually(
    () => engine.submitted.every(({ taken }) => taken === 1) && engine.submitted.length === 2,
    'start',
  );
  server.stop();
  timers.fire(SHUTDOWN_SECONDS - 1, SHUTDOWN_SECONDS);
  expect(await stream).toMatch(/"code":"draining"\}\}\n\n$/);
  expect((await whole).status).toBe(503);
  expect(await server.ended).toBe(0);
});

test('a failed engine ends the server with code 1', async () => {
  const engine = new ScriptedEngine(() => ({ steps: [], finish: null }));
  const { server } = await start(engine);
  engine.state = 'failed';
  expect(await server.ended).toBe(1);
});

test('a port in use is one clear error', async () => {
  const other = createServer().listen(0, '127.0.0.1');
  await eventually(() => other.listening, 'listening');
  const { port } = other.address() as { port: number };
  const engine = new ScriptedEngine(() => ({ steps: [], finish: null }));
  await expect(start(engine, { port })).rejects.toMatchObject({
    kind: 'port_in_use',
    message: `--port ${port}: already in use on 127.0.0.1`,
  });
  other.close();
});
