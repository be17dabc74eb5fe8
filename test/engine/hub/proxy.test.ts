import { createServer, request as httpRequest, type IncomingMessage } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { HubClient } from '../../../engine/hub/hub-client.js';
import { readProxySettings } from '../../../engine/hub/hub-settings.js';
import { failureOf, ID, startTestHub } from './test-hub.js';

interface TestProxy {
  readonly url: string;
  /** `METHOD url` of what was forwarded, `CONNECT host:port` of tunnels. */
  readonly seen: string[];
  readonly authorizations: (string | undefined)[];
}

/**
 * A proxy as companies have them: forwards plain http, tunnels to port 443 alone (where nothing
 * listens), and may want a password.
 */
async function startProxy(password?: string): Promise<TestProxy> {
  const seen: string[] = [];
  const authorizations: (string | undefined)[] = [];
  const mayPass = (request: IncomingMessage): boolean => {
    authorizations.push(request.headers['proxy-authorization']);
    const expected = `Basic ${Buffer.from(`me:${password}`).toString('base64')}`;
    return password === undefined || request.headers['proxy-authorization'] === expected;
  };
  const server = createServer((request, response) => {
    seen.push(`${request.method} ${request.url}`);
    if (!mayPass(request)) return void response.writeHead(407).end();
    const { method, headers } = request;
    const onward = httpRequest(request.url ?? '', { method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    onward.on('error', () => response.writeHead(502).end());
    return request.pipe(onward);
  });
  server.on('connect', (request: IncomingMessage, socket: Socket) => {
    seen.push(`CONNECT ${request.url}`);
    const status = mayPass(request) ? '403 Forbidden' : '407 Proxy Authentication Required';
    if (!request.url?.endsWith(':443')) socket.end(`HTTP/1.1 ${status}\r\n\r\n`);
    else connect(1, '127.0.0.1').on('error', () => socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n'));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const userinfo = password === undefined ? '' : `me:${password}@`;
  const url = `http://${userinfo}127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { url, seen, authorizations };
}

describe('HTTP_PROXY', () => {
  it('forwards all requests, storage included, with its password', async () => {
    const proxy = await startProxy('pass:word');
    const test = await startTestHub();
    const url = proxy.url.replace('pass:word', 'pass%3Aword');
    await test.fetch({ proxies: readProxySettings({ HTTP_PROXY: url }) });
    expect(proxy.seen).toHaveLength(test.hub.requests.length);
    expect(proxy.seen.some((line) => line.startsWith(`GET ${test.hub.cdnUrl}/`))).toBe(true);
    expect(proxy.authorizations.every((value) => value?.startsWith('Basic '))).toBe(true);
  });

  it('is not used for what NO_PROXY names', async () => {
    const proxy = await startProxy();
    const test = await startTestHub();
    const proxies = readProxySettings({
      http_proxy: proxy.url,
      no_proxy: '127.0.0.1,.example.com',
    });
    await test.fetch({ proxies });
    // Storage is on `localhost`.
    expect(proxy.seen.length).toBe(test.hub.seen(/cdn/).length);
    const none = await startTestHub();
    proxy.seen.length = 0;
    await none.fetch({ proxies: { ...proxies, noProxy: '*' } });
    expect(proxy.seen).toEqual([]);
  });
});

describe('HTTPS_PROXY', () => {
  it('tunnels', async () => {
    const proxy = await startProxy();
    const test = await startTestHub();
    const settings = {
      ...test.settings,
      endpoint: 'https://hub.invalid',
      proxies: readProxySettings({ HTTPS_PROXY: proxy.url, HTTP_PROXY: 'http://127.0.0.1:1' }),
    };
    const client = new HubClient(settings, ID);
    const { message } = await failureOf(client.list(1));
    await client.close();
    expect(proxy.seen).toEqual(['CONNECT hub.invalid:443']);
    expect(message).toMatch(
      /https:\/\/hub\.invalid gives no answer after one attempt: the proxy refuses a tunnel with status 502$/,
    );
  });

  it('that wants a password is an error that says so', async () => {
    const proxy = await startProxy('secret');
    const test = await startTestHub();
    const endpoint = 'https://hub.invalid:8443';
    const url = proxy.url.replace('me:secret@', '');
    const { message } = await failureOf(
      test.fetch({ endpoint, proxies: readProxySettings({ https_proxy: url }) }),
    );
    expect(message).toMatch(/the proxy refuses a tunnel with status 407/);
  });
});
