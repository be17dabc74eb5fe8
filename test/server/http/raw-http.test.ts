import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { bytesOf } from '../../support/byte-model.js';
import { ScriptedEngine } from '../../support/scripted-engine.js';
import {
  eventually,
  startTestServer,
  stopTestServers,
  type TestServer,
} from '../../support/test-server.js';

afterEach(stopTestServers);

const HEAD =
  'POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n';
const bodyOf = (content: string, more: object = {}): string =>
  JSON.stringify({ messages: [{ role: 'user', content }], ...more });
const withLength = (body: string, head = HEAD): string =>
  `${head}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
const chunked = (...pieces: string[]): string =>
  `${HEAD}Transfer-Encoding: chunked\r\n\r\n${pieces.map((p) => `${p.length.toString(16)}\r\n${p}\r\n`).join('')}`;
const GOOD = withLength(bodyOf('Hi'));
const LAST = withLength(bodyOf('Hi'), `${HEAD}Connection: close\r\n`);

/** Says its prompt again, the first one last. */
const echoing = (): ScriptedEngine =>
  new ScriptedEngine(({ promptTokenIds }) => {
    const text = /<user>(\w+)/.exec(Buffer.from(promptTokenIds).toString())?.[1] ?? '';
    return {
      steps: [bytesOf(text)],
      finish: 'length',
      beforeStep: () => new Promise((resolve) => setTimeout(resolve, text === 'slow' ? 100 : 0)),
    };
  });

const start = (): Promise<TestServer> =>
  startTestServer(echoing(), { settings: { maxBodySize: 20_000 } });

interface Connection {
  readonly socket: Socket;
  /** All that came. */
  readonly text: () => string;
  /** Resolves when the server has ended the connection. */
  readonly ended: Promise<string>;
}

function open({ port }: TestServer, ...pieces: readonly string[]): Connection {
  const socket = connect(port, '127.0.0.1').setEncoding('utf8');
  let text = '';
  socket.on('data', (piece) => (text += String(piece)));
  socket.on('error', () => undefined);
  const ended = new Promise<string>((resolve) => socket.once('close', () => resolve(text)));
  for (const piece of pieces) socket.write(piece);
  return { socket, text: () => text, ended };
}

const statuses = (text: string): string[] =>
  Array.from(text.matchAll(/HTTP\/1\.1 (\d+) /g), ([, status]) => status);
const contents = (text: string): string[] =>
  Array.from(text.matchAll(/"content":"(\w+)"/g), ([, content]) => content);

/** Whatever came over a socket: nothing failed, nothing runs, and others are served. */
async function expectUnharmed(server: TestServer): Promise<void> {
  await server.inFlight.idle();
  expect(server.log.filter(({ level }) => Number(level) >= 40)).toEqual([]);
  expect((await fetch(`${server.url}/health`)).status).toBe(200);
}

describe('one connection', () => {
  test('pipelined requests get their answers in order, whatever takes longest', async () => {
    const server = await start();
    const words = ['slow', ...Array.from({ length: 20 }, (_, i) => `quick${i}`)];
    const text = await open(server, words.map((w) => withLength(bodyOf(w))).join('') + LAST).ended;
    expect(statuses(text)).toEqual(Array.from({ length: 22 }, () => '200'));
    expect(contents(text)).toEqual([...words, 'Hi']);
    await expectUnharmed(server);
  });

  test.each(['whole', 'stream'])(
    'HTTP/1.0: the answer ends with the connection (%s)',
    async (how) => {
      const server = await start();
      const body = bodyOf('Hi', { stream: how === 'stream' });
      const text = await open(server, withLength(body).replace('HTTP/1.1', 'HTTP/1.0')).ended;
      expect(statuses(text)).toEqual(['200']);
      expect(text).toMatch(/^connection: close\r$/im);
      expect(text).not.toMatch(/transfer-encoding|keep-alive/i);
      if (how === 'stream') expect(text).toMatch(/data: \[DONE\]\n\n$/);
      else expect(text).toMatch(/\}$/);
      await expectUnharmed(server);
    },
  );

  test('HTTP/1.0 needs no host, HTTP/1.1 one', async () => {
    const server = await start();
    const without = GOOD.replace('Host: localhost\r\n', 'Connection: close\r\n');
    expect(statuses(await open(server, without.replace('HTTP/1.1', 'HTTP/1.0')).ended)).toEqual([
      '200',
    ]);
    const none = await open(server, without).ended;
    expect(none).toMatch(
      /^HTTP\/1.1 400 [^]*"message":"a request has one Host header; this one has 0"/,
    );
    const two = await open(server, LAST.replace('Host:', 'Host: y\r\nHost:')).ended;
    expect(two).toMatch(/^HTTP\/1.1 400 [^]*this one has 2"/);
    await expectUnharmed(server);
  });

  test.each(['slow', 'quick'])(
    'garbage behind a request: its answer first, then a 400 (%s)',
    async (word) => {
      const server = await start();
      const { ended } = open(
        server,
        `${withLength(bodyOf(word))}nonsense\r\n\r\n`,
        'more nonsense',
      );
      const text = await ended;
      expect(statuses(text)).toEqual(['200', '400']);
      expect(contents(text)).toEqual([word]);
      expect(text).toMatch(/"message":"the request is not valid HTTP"[^}]*\}\}$/);
      await expectUnharmed(server);
    },
  );

  test.each(['http://127.0.0.1', 'http://example.com:80'])(
    'a target in absolute form is the same (%s)',
    async (origin) => {
      const server = await start();
      const text = await open(server, LAST.replace('/v1', `${origin}/v1`)).ended;
      expect([statuses(text), contents(text)]).toEqual([['200'], ['Hi']]);
    },
  );

  test('an absolute target needs the key, too', async () => {
    const server = await startTestServer(echoing(), { apiKeys: ['k'] });
    const text = await open(server, LAST.replace('/v1', 'http://x/v1')).ended;
    expect(statuses(text)).toEqual(['401']);
  });

  test('CONNECT is refused', async () => {
    const server = await start();
    const text = await open(server, 'CONNECT example.com:80 HTTP/1.1\r\nHost: localhost\r\n\r\n')
      .ended;
    expect(text).toMatch(/^HTTP\/1.1 405 [^]*"message":"CONNECT: this is no proxy"/);
    await expectUnharmed(server);
  });
});

describe('Expect: 100-continue', () => {
  const asking = (length: number, head = HEAD): string =>
    `${head}Expect: 100-continue\r\nContent-Length: ${length}\r\n\r\n`;

  test('the body is asked for, and the connection stays', async () => {
    const server = await start();
    const body = bodyOf('Hi');
    const connection = open(server, asking(body.length));
    await eventually(() => connection.text() !== '', 'an answer');
    expect(connection.text()).toBe('HTTP/1.1 100 Continue\r\n\r\n');
    connection.socket.write(body + LAST);
    expect(statuses(await connection.ended)).toEqual(['100', '200', '200']);
    await expectUnharmed(server);
  });

  test('a body that is too large is not asked for', async () => {
    const server = await start();
    expect(statuses(await open(server, asking(20_001)).ended)).toEqual(['413']);
    await expectUnharmed(server);
  });

  test('nor is one without a key, and what follows is not taken for it', async () => {
    const server = await startTestServer(echoing(), { apiKeys: ['k'] });
    expect(statuses(await open(server, asking(10)).ended)).toEqual(['401']);
    await expectUnharmed(server);
  });

  test('another expectation is ignored', async () => {
    const server = await start();
    const text = await open(
      server,
      withLength(bodyOf('Hi'), `${HEAD}Connection: close\r\nExpect: more\r\n`),
    ).ended;
    expect(statuses(text)).toEqual(['200']);
  });
});

describe('what might be read in two ways is refused, and ends the connection', () => {
  const body = bodyOf('Hi');
  const length = `Content-Length: ${body.length}\r\n`;
  const chunk = `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
  test.each([
    ['two lengths', `${HEAD}${length}Content-Length: 5\r\n\r\n${body}`],
    ['the same length twice', `${HEAD}${length}${length}\r\n${body}`],
    ['a length and chunks', `${HEAD}${length}Transfer-Encoding: chunked\r\n\r\n${chunk}`],
    ['chunks and a length', `${HEAD}Transfer-Encoding: chunked\r\n${length}\r\n${chunk}`],
    ['an unknown encoding', `${HEAD}Transfer-Encoding: xchunked\r\n\r\n${chunk}`],
    ['chunks not at the end', `${HEAD}Transfer-Encoding: chunked, identity\r\n\r\n${chunk}`],
    ['a space before the colon', `${HEAD}Transfer-Encoding : chunked\r\n\r\n${chunk}`],
    ['a folded header', `${HEAD}X-A: a\r\n Transfer-Encoding: chunked\r\n${length}\r\n${body}`],
    ['a null byte in a header', `${HEAD}X-A: a\0b\r\n${length}\r\n${body}`],
    ['lines without CR', withLength(body).replaceAll('\r\n', '\n')],
    ['a negative length', `${HEAD}Content-Length: -5\r\n\r\n${body}`],
    ['a length with a sign', `${HEAD}Content-Length: +5\r\n\r\n${body}`],
    ['a length that is no number', `${HEAD}Content-Length: 99999999999999999999\r\n\r\n${body}`],
    [
      'a chunk size that is none',
      `${HEAD}Transfer-Encoding: chunked\r\n\r\nzz\r\n${body}\r\n0\r\n\r\n`,
    ],
    ['a preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['TLS', '\x16\x03\x01\x02\x00\x01\x00\x01'],
  ])('%s', async (_, request) => {
    const engine = echoing();
    const server = await startTestServer(engine);
    const text = await open(server, request, GOOD).ended;
    expect(statuses(text)).toEqual(['400']);
    expect(text).toContain('"type":"invalid_request_error"');
    expect(engine.submitted).toEqual([]);
    await expectUnharmed(server);
  });
});

describe('bodies', () => {
  test('in chunks', async () => {
    const server = await start();
    const [a, b] = [bodyOf('Hi').slice(0, 9), bodyOf('Hi').slice(9)];
    const text = await open(server, `${chunked(a, b)}0\r\n\r\n`, LAST).ended;
    expect(contents(text)).toEqual(['Hi', 'Hi']);
  });

  test('without end: 413 as soon as it is too large', async () => {
    const server = await start();
    const { socket, ended } = open(server, chunked());
    const timer = setInterval(() => socket.write(`1000\r\n${' '.repeat(4096)}\r\n`), 5);
    const text = await ended;
    clearInterval(timer);
    expect(text).toMatch(/^HTTP\/1.1 413 [^]*"message":"the body is too large"/);
    await expectUnharmed(server);
  });

  test('too large, with a length: the answer comes though the client sends to the end', async () => {
    const server = await start();
    const body = 'x'.repeat(5 * 2 ** 20);
    const { socket, text, ended } = open(server, withLength(body));
    await eventually(() => text() !== '', 'an answer');
    socket.write(LAST);
    expect(statuses(await ended)).toEqual(['413', '200']);
    const huge = await open(server, `${HEAD}Content-Length: ${2 ** 30}\r\n\r\n${body}`).ended;
    expect(statuses(huge).length).toBeLessThan(2);
    await expectUnharmed(server);
  });

  test('without end, byte by byte: 408 in time', async () => {
    const server = await startTestServer(echoing(), { settings: { receiveTimeout: 1 } });
    const { socket, ended } = open(server, chunked());
    const timer = setInterval(() => socket.write('1\r\n \r\n'), 100);
    const text = await ended;
    clearInterval(timer);
    expect(text).toMatch(/^HTTP\/1.1 408 [^]*"message":"the request did not arrive in time"/);
    await expectUnharmed(server);
  });

  test.each([
    'Content-Length: 500\r\n\r\n{"mess',
    'Transfer-Encoding: chunked\r\n\r\n6\r\n{"mess\r\n',
  ])('a client that leaves in the middle leaves nothing (%j)', async (rest) => {
    const engine = echoing();
    const server = await startTestServer(engine);
    for (const leave of ['destroy', 'resetAndDestroy', 'end'] as const) {
      const { socket, ended } = open(server, HEAD + rest);
      await new Promise((resolve) => setTimeout(resolve, 20));
      socket[leave]();
      await ended;
    }
    expect(engine.submitted).toEqual([]);
    await expectUnharmed(server);
  });
});
