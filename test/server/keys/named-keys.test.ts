import { afterEach, expect, test } from 'vitest';
import { parseKeys } from '../../../server/keys/key-file.js';
import { KeyTable } from '../../../server/keys/key-table.js';
import { bytesOf } from '../../support/byte-model.js';
import { ScriptedEngine } from '../../support/scripted-engine.js';
import {
  eventually,
  startTestServer,
  stopTestServers,
  type TestServer,
} from '../../support/test-server.js';

afterEach(stopTestServers);

const KEYS = `
keys:
  - {name: alice, key: sk-alice, concurrent: 1, requests-per-minute: 3}
  - {name: bob, key: sk-bob, scopes: [inference, manage]}
  - {name: grafana, key: sk-grafana, scopes: [metrics]}
`;

/** Answers `ok`; a prompt with `slow` waits until it is told to go on. */
async function start(): Promise<TestServer & { keys: KeyTable; goOn: () => void }> {
  let goOn = (): void => undefined;
  const held = new Promise<void>((resolve) => (goOn = resolve));
  const engine = new ScriptedEngine(({ promptTokenIds }) => ({
    steps: [bytesOf('ok')],
    finish: 'stop',
    beforeStep: () =>
      Buffer.from(promptTokenIds).toString().includes('slow') ? held : Promise.resolve(),
  }));
  const keys = new KeyTable(['sk-old'], parseKeys(KEYS, 'keys.yaml'));
  return { ...(await startTestServer(engine, { keys })), keys, goOn };
}

const as = (name: string) => ({ authorization: `Bearer sk-${name}` });

const chat = ({ post }: TestServer, name: string, content = 'x'): Promise<Response> =>
  post('/v1/chat/completions', { messages: [{ role: 'user', content }] }, as(name));

test('a scope opens its routes and no others', async () => {
  const server = await start();
  const status = async (name: string, path: string, method = 'GET'): Promise<number> =>
    (await fetch(server.url + path, { method, headers: as(name) })).status;
  expect(await status('grafana', '/metrics')).toBe(200);
  expect(await status('grafana', '/load')).toBe(200);
  expect(await status('grafana', '/v1/models')).toBe(200);
  expect(await status('grafana', '/reset_prefix_cache', 'POST')).toBe(403);
  expect(await status('bob', '/reset_prefix_cache', 'POST')).toBe(200);
  expect(await status('bob', '/metrics')).toBe(403);
  expect(await status('old', '/metrics')).toBe(200);
  expect(await status('other', '/metrics')).toBe(401);
  expect(await status('other', '/health')).toBe(200);
  const refused = await chat(server, 'grafana');
  expect([refused.status, await refused.json()]).toEqual([
    403,
    {
      error: {
        message:
          'the key grafana has no scope inference, which /v1/chat/completions needs; it has metrics',
        type: 'invalid_request_error',
        param: null,
        code: 'insufficient_permissions',
      },
    },
  ]);
});

test("a key's own limits hold, and no other key has them", async () => {
  const server = await start();
  const slow = chat(server, 'alice', 'slow');
  await eventually(() => server.inFlight.size === 1, 'the slow request runs');
  const refused = await chat(server, 'alice');
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '1']);
  expect(await refused.text()).toContain(
    'the key alice may have 1 requests at a time; so many run already',
  );
  expect((await chat(server, 'bob')).status).toBe(200);
  server.goOn();
  expect((await slow).status).toBe(200);
  for (let i = 0; i < 2; i++) expect((await chat(server, 'alice')).status).toBe(200);
  const over = await chat(server, 'alice');
  expect([over.status, over.headers.get('x-ratelimit-limit-requests')]).toEqual([429, '3']);
  expect((await chat(server, 'old')).headers.get('x-ratelimit-limit-requests')).toBeNull();
});

test('a key that the file has no more is refused', async () => {
  const server = await start();
  expect((await chat(server, 'bob')).status).toBe(200);
  server.keys.replaceNamed(server.keys.all.filter(({ name }) => name === 'alice'));
  expect((await chat(server, 'bob')).status).toBe(401);
  expect((await chat(server, 'alice')).status).toBe(200);
});

test('usage is counted by key, day and model, for /v1/usage, /metrics and the log', async () => {
  const server = await start();
  for (const name of ['alice', 'bob', 'bob']) await (await chat(server, name)).text();
  const usage = async (name: string, query = ''): Promise<Record<string, unknown>[]> => {
    const response = await fetch(`${server.url}/v1/usage${query}`, { headers: as(name) });
    return ((await response.json()) as { data: Record<string, unknown>[] }).data;
  };
  const counts = { requests: 2, failed_requests: 0, completion_tokens: 4, cached_tokens: 0 };
  await eventually(async () => {
    const [row] = await usage('bob');
    return row?.['requests'] === 2;
  }, 'both requests are counted');
  expect(await usage('bob')).toMatchObject([
    { key: 'bob', ...counts, models: { 'byte-model': counts } },
  ]);
  const seen = await usage('grafana');
  expect(seen.map(({ key, requests }) => [key, requests])).toEqual([
    ['alice', 1],
    ['bob', 2],
    ['grafana', 0],
    [expect.stringMatching(/^key-[\da-f]{8}$/), 0],
  ]);
  expect(Object.keys(seen[0]?.['days'] as object)).toEqual([
    expect.stringMatching(/^\d{4}-\d\d-\d\d$/),
  ]);
  expect(await usage('bob', '?to=2020-01-01')).toMatchObject([{ key: 'bob', requests: 0 }]);
  const wrong = await fetch(`${server.url}/v1/usage?from=yesterday`, { headers: as('bob') });
  expect(wrong.status).toBe(400);
  const metrics = await (await fetch(`${server.url}/metrics`, { headers: as('grafana') })).text();
  expect(metrics).toMatch(/^vllm:key_requests_total\{key="bob".*\} 2$/m);
  expect(metrics).toMatch(/^vllm:key_generation_tokens_total\{key="alice".*\} 2$/m);
  const line = server.log.find(({ keyName }) => keyName === 'bob');
  expect(line).toMatchObject({ key: expect.stringMatching(/^[\da-f]{8}$/) as string });
});
