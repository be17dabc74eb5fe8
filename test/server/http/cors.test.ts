import { afterEach, describe, expect, test } from 'vitest';
import { loadSettings } from '../../../server/config/load-settings.js';
import { bytesOf } from '../../support/byte-model.js';
import { ScriptedEngine } from '../../support/scripted-engine.js';
import { startTestServer, stopTestServers, type TestServer } from '../../support/test-server.js';

afterEach(stopTestServers);

const SITE = 'https://app.example';

const start = (allowedOrigins: string[]): Promise<TestServer> =>
  startTestServer(new ScriptedEngine(() => ({ steps: [bytesOf('ok')], finish: 'stop' })), {
    apiKeys: ['sk-1'],
    settings: { allowedOrigins },
  });

const preflight = ({ url }: TestServer, origin: string): Promise<Response> =>
  fetch(`${url}/v1/chat/completions`, {
    method: 'OPTIONS',
    headers: {
      origin,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization,content-type',
    },
  });

describe('--allowed-origins', () => {
  test('by default no page of another site gets a header that lets it read', async () => {
    const server = await start([]);
    const refused = await preflight(server, SITE);
    expect(refused.status).toBe(401);
    expect(refused.headers.get('access-control-allow-origin')).toBeNull();
  });

  test('a listed site is answered its preflight without a key, and may send one', async () => {
    const server = await start([SITE]);
    const answer = await preflight(server, SITE);
    expect(answer.status).toBe(204);
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'access-control-allow-origin': SITE,
      'access-control-allow-headers': 'authorization,content-type',
      'access-control-allow-methods': 'GET, HEAD, POST, DELETE',
      vary: 'origin',
    });
    const other = await preflight(server, 'https://other.example');
    expect([other.status, other.headers.get('access-control-allow-origin')]).toEqual([401, null]);
  });

  test('answers, streams and errors can be read', async () => {
    const { post } = await start([SITE]);
    const body = { messages: [{ role: 'user', content: 'x' }] };
    const key = { authorization: 'Bearer sk-1', origin: SITE };
    const answers = [
      await post('/v1/chat/completions', body, key),
      await post('/v1/chat/completions', { ...body, stream: true }, key),
      await post('/v1/chat/completions', body, { origin: SITE }),
    ];
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 401]);
    for (const { headers } of answers) {
      expect(headers.get('access-control-allow-origin')).toBe(SITE);
      expect(headers.get('access-control-expose-headers')).toContain('x-request-id');
    }
    expect(await answers[1]?.text()).toContain('[DONE]');
  });

  test('* lets every site in', async () => {
    const server = await start(['*']);
    const answer = await preflight(server, 'http://localhost:3000');
    expect(answer.headers.get('access-control-allow-origin')).toBe('*');
  });

  test.each(['app.example', 'https://app.example/', 'https://app.example/path', ''])(
    '%j is no origin',
    (origin) => {
      expect(() => loadSettings({ allowedOrigins: [origin] }, {})).toThrow(
        /^--allowed-origins .*: must be \* or an origin such as https:\/\/app\.example:8443, without a path$/,
      );
    },
  );
});

describe('--root-path', () => {
  test('the API and the pages are there with the path and without it', async () => {
    const { url } = await startTestServer(
      new ScriptedEngine(() => ({ steps: [bytesOf('ok')], finish: 'stop' })),
      { settings: { rootPath: '/llm' } },
    );
    const status = async (path: string): Promise<number> => (await fetch(url + path)).status;
    for (const path of ['/llm/v1/models', '/v1/models', '/llm', '/llm/dashboard', '/llm?x=1']) {
      expect([path, await status(path)]).toEqual([path, 200]);
    }
    expect(await status('/llmx/v1/models')).toBe(404);
    const page = await (await fetch(`${url}/llm/`)).text();
    const links = [...page.matchAll(/(?:href|src)="(\/[^"]*)"/g)].map(([, link = '']) => link);
    expect(links.length).toBeGreaterThan(3);
    for (const link of links) {
      expect(link).toMatch(/^\/llm\//);
      expect([link, await status(link)]).toEqual([link, 200]);
    }
    const document = await (await fetch(`${url}/openapi.json`)).json();
    expect(document).toMatchObject({ servers: [{ url: '/llm' }] });
  });

  test.each(['llm', '/llm/', '/', '/a b'])('%j is refused', (rootPath) => {
    expect(() => loadSettings({ rootPath: [rootPath] }, {})).toThrow(
      /a slash first, none at its end/,
    );
  });
});
