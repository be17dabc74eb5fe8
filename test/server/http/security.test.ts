import { afterEach, expect, it } from 'vitest';
import { bytesOf } from '../../support/byte-model.js';
import { processorMs } from '../../support/processor-time.js';
import { ScriptedEngine } from '../../support/scripted-engine.js';
import { startTestServer, stopTestServers } from '../../support/test-server.js';

afterEach(stopTestServers);

const engine = (): ScriptedEngine =>
  new ScriptedEngine(() => ({
    steps: [bytesOf('a'), bytesOf('b')],
    finish: 'length',
    times: { queued: 1, prefill: 1 },
  }));

it('a page of another origin is told nothing: no answer has a CORS header', async () => {
  const server = await startTestServer(engine());
  const headers = { origin: 'https://elsewhere.example', 'access-control-request-method': 'POST' };
  const answers = [
    await fetch(`${server.url}/v1/models`, { headers }),
    await fetch(`${server.url}/dashboard`, { headers }),
    await fetch(`${server.url}/v1/completions`, { method: 'OPTIONS', headers }),
    await server.post('/v1/completions', { prompt: 'x' }, headers),
    await server.post('/v1/completions', { prompt: 'x', stream: true }, headers),
  ];
  for (const answer of answers) {
    await answer.text();
    const names = [...answer.headers.keys()].filter((name) => name.startsWith('access-control'));
    expect([answer.url, names]).toEqual([answer.url, []]);
  }
  expect(answers[2].status).toBe(405);
});

it('/metrics takes milliseconds with all its series', async () => {
  const server = await startTestServer(engine());
  const bodies = [
    ['/v1/completions', { prompt: 'x', n: 3 }],
    ['/v1/completions', { prompt: 'x', temperature: -1 }],
    ['/v1/chat/completions', { messages: [{ role: 'user', content: 'x' }], stream: true }],
    ['/v1/responses', { input: 'x' }],
    ['/tokenize', { prompt: 'x' }],
    ['/nowhere', {}],
  ] as const;
  for (const [path, body] of bodies) await (await server.post(path, body)).text();
  const read = async (): Promise<void> => {
    const text = await (await fetch(`${server.url}/metrics`)).text();
    expect(text).toContain('vllm:request_success_total{');
  };
  const times: number[] = [];
  for (let i = 0; i < 30; i++) times.push(await processorMs(read));
  // The least: the first ones are slow. A tenth of a second would be felt by other requests.
  expect(Math.min(...times)).toBeLessThan(60);
});
