import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { expect, onTestFinished, test } from 'vitest';
import { eventually } from '../support/eventually.js';
import { exitCode, octavo, runOctavo } from '../support/octavo-process.js';
import { testAuthority } from '../support/tls-files.js';

// TLS, Unix sockets and the file of keys, by the compiled program.

function directory(): string {
  const path = mkdtempSync(join(tmpdir(), 'octavo-doors-'));
  onTestFinished(() => rmSync(path, { recursive: true }));
  return path;
}

interface Answer {
  readonly status: number;
  readonly body: string;
}

async function ask(options: RequestOptions, body?: object): Promise<Answer> {
  const send = options.socketPath === undefined ? httpsRequest : httpRequest;
  const request = send({ ...options, agent: false });
  request.setHeader('content-type', 'application/json');
  request.end(body && JSON.stringify(body));
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  let text = '';
  for await (const chunk of response) text += String(chunk);
  return { status: response.statusCode ?? 0, body: text };
}

async function serving(args: readonly string[]) {
  const child = octavo(['serve', ...args]);
  let output = '';
  child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const found = (): RegExpExecArray | null => /serving \S+ on (\w+:\S+)"?/.exec(output);
  await eventually(() => found() !== null || child.exitCode !== null, 'it serves');
  const url = found()?.[1]?.replace(/[",].*$/, '');
  if (url === undefined) throw new Error(output);
  return { child, url, output: () => output };
}

const CHAT = { messages: [{ role: 'user', content: 'Hi' }], max_tokens: 4 };

test('HTTPS with keys of a file: clients with a certificate, renewal, usage across restarts', async () => {
  const at = directory();
  const authority = testAuthority();
  const own = authority.issue('IP:127.0.0.1');
  const client = authority.issue('DNS:client');
  const [certfile, keyfile] = [join(at, 'cert.pem'), join(at, 'key.pem')];
  writeFileSync(certfile, readFileSync(own.cert));
  writeFileSync(keyfile, readFileSync(own.key));
  const keys = join(at, 'keys.yaml');
  const added = await runOctavo(
    ['keys', 'add', 'alice', '--keys-file', keys, '--concurrent', '2'].concat(
      '--scopes',
      'inference,metrics',
    ),
  );
  const key = added.stdout.trim();
  expect(key).toMatch(/^sk-octavo-[\w-]{43}$/);
  expect(readFileSync(keys, 'utf8')).not.toContain(key);
  const flags = ['--port', '0', '--ssl-certfile', certfile, '--ssl-keyfile', keyfile].concat([
    '--ssl-ca-certs',
    authority.ca,
    '--keys-file',
    keys,
    '--usage-file',
    join(at, 'usage.json'),
  ]);
  const { child, url } = await serving(flags);
  expect(url).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/);
  const tls = {
    ca: readFileSync(authority.ca),
    cert: readFileSync(client.cert),
    key: readFileSync(client.key),
    host: '127.0.0.1',
  };
  const to = (port: string, path: string, method = 'GET', bearer = key): RequestOptions => ({
    ...tls,
    port,
    path,
    method,
    headers: { authorization: `Bearer ${bearer}` },
  });
  const { port } = new URL(url);
  expect((await ask(to(port, '/v1/chat/completions', 'POST'), CHAT)).status).toBe(200);
  const stream = await ask(to(port, '/v1/chat/completions', 'POST'), { ...CHAT, stream: true });
  expect(stream.body).toContain('data: [DONE]');
  // Without a certificate; in the clear; and some that say nothing.
  const { cert: _cert, key: _key, ...bare } = to(port, '/health');
  await expect(ask(bare)).rejects.toThrow(/ECONNRESET|socket|alert/);
  await expect(fetch(`http://127.0.0.1:${port}/health`)).rejects.toThrow('fetch failed');
  const silent = Array.from({ length: 10 }, () => connect(Number(port), '127.0.0.1'));
  expect((await ask(to(port, '/health'))).status).toBe(200);
  for (const socket of silent) socket.destroy();

  const more = await runOctavo(['keys', 'add', 'bob', '--keys-file', keys]);
  const bob = more.stdout.trim();
  const isKnown = async (): Promise<boolean> =>
    (await ask(to(port, '/v1/models', 'GET', bob))).status === 200;
  await eventually(isKnown, 'the new key is known', { everyMs: 100 });
  await runOctavo(['keys', 'rm', 'bob', '--keys-file', keys]);
  await eventually(async () => !(await isKnown()), 'it is not', { everyMs: 100 });
  expect((await runOctavo(['keys', 'list', '--keys-file', keys])).stdout).toBe(
    'name   scopes             limits\nalice  inference,metrics  2 at a time\n',
  );

  const serial = async (): Promise<string> => {
    const request = httpsRequest({ ...to(port, '/health'), agent: false }).end();
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    const { serialNumber } = (response.socket as TLSSocket).getPeerCertificate();
    response.resume();
    return serialNumber;
  };
  const before = await serial();
  const next = authority.issue('IP:127.0.0.1');
  writeFileSync(certfile, readFileSync(next.cert));
  writeFileSync(keyfile, readFileSync(next.key));
  await eventually(async () => (await serial()) !== before, 'the certificate is the new one', {
    everyMs: 100,
  });

  child.kill('SIGTERM');
  expect(await exitCode(child)).toBe(0);
  const again = await serving(flags);
  const answer = await ask(to(new URL(again.url).port, '/v1/usage'));
  expect(JSON.parse(answer.body)).toMatchObject({
    data: [{ key: 'alice', requests: 2, failed_requests: 0, completion_tokens: 8 }],
  });
});

test('a Unix socket, also after one that was killed, and never a second server on it', async () => {
  const uds = join(directory(), 'octavo.sock');
  const first = await serving(['--uds', uds]);
  expect(first.url).toBe(`unix:${uds}`);
  const asked = { socketPath: uds, path: '/v1/models', headers: { host: 'anything.example' } };
  expect((await ask(asked)).status).toBe(200);
  const second = await runOctavo(['serve', '--uds', uds]);
  expect(second.stderr).toBe(`octavo: --uds ${uds}: another server listens there\n`);
  expect(second.code).toBe(1);
  first.child.kill('SIGKILL');
  await exitCode(first.child);
  expect(existsSync(uds)).toBe(true);
  const third = await serving(['--uds', uds]);
  expect((await ask(asked)).status).toBe(200);
  third.child.kill('SIGTERM');
  expect(await exitCode(third.child)).toBe(0);
  expect(existsSync(uds)).toBe(false);
});

test('what is wrong with the files is said in one line', async () => {
  const at = directory();
  const authority = testAuthority();
  const [one, other] = [authority.issue('IP:127.0.0.1'), authority.issue('IP:127.0.0.1')];
  const file = join(at, 'file');
  writeFileSync(file, 'text');
  const refusals: [string[], RegExp][] = [
    [['--ssl-certfile', one.cert], /^octavo: --ssl-certfile: needs --ssl-keyfile, too\n$/],
    [['--ssl-ca-certs', authority.ca], /^octavo: --ssl-ca-certs: needs --ssl-certfile, too\n$/],
    [
      ['--ssl-certfile', one.cert, '--ssl-keyfile', other.key],
      /--ssl-keyfile .*cannot be used: .*mismatch/,
    ],
    [['--ssl-certfile', file, '--ssl-keyfile', one.key], /--ssl-certfile \S+: cannot be used: /],
    [
      ['--ssl-certfile', '/no', '--ssl-keyfile', one.key],
      /--ssl-certfile \/no: cannot be read \(ENOENT\)/,
    ],
    [['--uds', file], /--uds \S+: there is a file that is no socket\n$/],
    [['--uds', join(at, 'x'.repeat(120))], /--uds \S+: must be at most 103 bytes/],
    [['--keys-file', file], /--keys-file \S+:1: must have one entry, keys, with a list of keys\n$/],
  ];
  const results = await Promise.all(
    refusals.map(([args]) => runOctavo(['serve', '--port', '0', ...args])),
  );
  for (const [i, { code, stderr }] of results.entries()) {
    expect(stderr).toMatch(refusals[i][1]);
    expect(stderr.split('\n')).toHaveLength(2);
    expect(code).toBe(2);
  }
});
