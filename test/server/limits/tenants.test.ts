import { afterEach, describe, expect, test } from 'vitest';
import type { Settings } from '../../../server/config/settings.js';
import { tenantOf } from '../../../server/limits/client.js';
import { bytesOf } from '../../support/byte-model.js';
import { ScriptedEngine } from '../../support/scripted-engine.js';
import { startTestServer, stopTestServers } from '../../support/test-server.js';

afterEach(stopTestServers);

const messages = [{ role: 'user', content: 'Hi' }];
const REQUESTS = [
  ['/v1/chat/completions', { messages }, 'chat'],
  ['/v1/completions', { prompt: 'Hi' }, 'completions'],
  ['/v1/responses', { input: 'Hi' }, 'responses'],
] as const;

/** Tenants that the engine is told of requests with these keys and users, in their order. */
async function tenantsOf(
  fairShareBy: Settings['fairShareBy'],
  path: string,
  body: object,
  senders: readonly (readonly [key: string, fields: object])[],
): Promise<string[]> {
  const engine = new ScriptedEngine(() => ({ steps: [bytesOf('x')], finish: 'stop' }));
  const { post } = await startTestServer(engine, {
    apiKeys: ['one', 'two'],
    settings: { fairShareBy },
  });
  for (const [key, fields] of senders) {
    const headers = { authorization: `Bearer ${key}` };
    const response = await post(path, { ...body, ...fields }, headers);
    expect(response.status).toBe(200);
    await response.text();
  }
  return engine.submitted.map(({ request }) => request.tenant);
}

describe.each(REQUESTS)('%s tells the scheduler', (path, body, route) => {
  test('whose share a request takes: its key, whatever user it names', async () => {
    const senders = [
      ['one', { user: 'a' }],
      ['one', { user: 'b' }],
      ['two', { user: 'a' }],
    ] as const;
    const [a, b, other] = await tenantsOf('key', path, body, senders);
    expect(a).toBe(b);
    expect(other).not.toBe(a);
    expect(a).not.toContain('one');
  });

  test('or the user of that key, by its newer or its older name', async () => {
    const senders = [
      ['one', { user: 'a' }],
      ['one', { safety_identifier: 'a', user: 'old' }],
      ['one', { user: 'b' }],
      ['two', { user: 'a' }],
      ['one', { user: null }],
    ] as const;
    const [a, newer, ...others] = await tenantsOf('user', path, body, senders);
    expect(newer).toBe(a);
    expect(new Set([a, ...others]).size).toBe(4);
  });

  test('by which way it came', async () => {
    const engine = new ScriptedEngine(() => ({ steps: [bytesOf('x')], finish: 'stop' }));
    const { post } = await startTestServer(engine);
    await (await post(path, body)).text();
    expect(engine.submitted[0].request.route).toBe(route);
  });
});

test('no user can be named so as to be a key', () => {
  expect(tenantOf('key:a', 'b', 'user')).not.toBe(tenantOf('key:a user:b', null, 'user'));
});
