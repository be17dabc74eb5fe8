import { request } from 'node:http';
import { afterEach, describe, expect, it, test } from 'vitest';
import type { Settings } from '../../../server/config/settings.js';
import { createHostCheck } from '../../../server/http/request-headers.js';
import { ScriptedEngine } from '../../support/scripted-engine.js';
import { startTestServer, stopTestServers } from '../../support/test-server.js';

afterEach(stopTestServers);

const LOOPBACK = [
  'localhost',
  'LOCALHOST:8000',
  'localhost.',
  'octavo.localhost:1',
  '127.0.0.1',
  '127.8.9.1:8000',
  '[::1]',
  '[::1]:8000',
];
const FOREIGN = [
  'evil.example',
  'evil.example:8000',
  '127.0.0.1.evil.example',
  'localhost.evil.example',
  'notlocalhost',
  '128.0.0.1',
  '[::2]',
  '127.evil',
  '',
];

describe('createHostCheck', () => {
  const verdicts = (host: string, allowed: string[], names: readonly string[]): boolean[] => {
    const check = createHostCheck(host, allowed);
    return names.map((name) => {
      try {
        check(name);
        return true;
      } catch {
        return false;
      }
    });
  };
  const all = (names: readonly unknown[], value: boolean): boolean[] => names.map(() => value);

  it.each(['127.0.0.1', 'localhost', '::1'])('serves loopback names on %s', (host) => {
    expect(verdicts(host, [], LOOPBACK)).toEqual(all(LOOPBACK, true));
    expect(verdicts(host, [], FOREIGN)).toEqual(all(FOREIGN, false));
  });

  it('serves what is allowed beside them, and any name when asked to', () => {
    const allowed = ['Box.lan', '*.corp.example'];
    const names = ['box.lan:8000', 'a.b.corp.example', 'corp.example', 'xcorp.example', 'lan'];
    for (const host of ['127.0.0.1', '0.0.0.0']) {
      expect(verdicts(host, allowed, names)).toEqual([true, true, false, false, false]);
      expect(verdicts(host, allowed, LOOPBACK)).toEqual(all(LOOPBACK, true));
      expect(verdicts(host, ['*'], FOREIGN)).toEqual(all(FOREIGN, true));
    }
  });

  it('asks nothing on another address, unless names are given', () => {
    for (const host of ['0.0.0.0', '::', '10.0.0.5', 'box.lan']) {
      expect(verdicts(host, [], FOREIGN)).toEqual(all(FOREIGN, true));
    }
  });
});

const get = (port: number, path: string, host: string): Promise<{ status: number; text: string }> =>
  new Promise((resolve, reject) => {
    const call = request({ port, host: '127.0.0.1', path, headers: { host }, agent: false });
    call.on('error', reject).end();
    call.on('response', (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
    });
  });

const start = (settings: Partial<Settings> = {}) =>
  startTestServer(new ScriptedEngine(() => ({ steps: [], finish: null })), { settings });

test.each([
  '/',
  '/dashboard',
  '/dashboard/events',
  '/v1/models',
  '/health',
  '/metrics',
  '/docs',
  '/nowhere',
])('a page of another site cannot read %s by a name of its own', async (path) => {
  const { port } = await start();
  const { status, text } = await get(port, path, 'evil.example:8000');
  expect(status).toBe(403);
  expect(JSON.parse(text)).toEqual({
    error: {
      message:
        'the host evil.example is not served: a server on a loopback address serves loopback names only; --allowed-hosts evil.example allows it',
      type: 'invalid_request_error',
      param: null,
      code: 'host_not_allowed',
    },
  });
});

test('names that are allowed are served', async () => {
  const { port } = await start({ allowedHosts: ['box.lan'] });
  expect((await get(port, '/v1/models', 'box.lan')).status).toBe(200);
  expect((await get(port, '/v1/models', `localhost:${port}`)).status).toBe(200);
});

test('a body that is packed is refused by name', async () => {
  const { post } = await start();
  const packed = await post('/v1/completions', '{"prompt":"a"}', { 'content-encoding': 'gzip' });
  expect(packed.status).toBe(415);
  expect(await packed.json()).toMatchObject({
    error: { message: 'content-encoding: gzip is not read; send the body as it is (identity)' },
  });
  const plain = await post('/tokenize', '{"prompt":"a"}', { 'content-encoding': 'identity' });
  expect(plain.status).toBe(200);
});
