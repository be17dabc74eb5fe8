import { connect, type Socket } from 'node:net';

/**
 * What a bad client does to the server, again and again, until the test is over. Each kind alone
 * once stopped all other clients.
 */
export interface Misfortune {
  readonly name: string;
  /** Milliseconds between two of them. */
  readonly everyMs: number;
  /** Connections that it holds at the same time, at most. */
  readonly atOnce: number;
  /** What the server's answer begins with. */
  readonly answer: RegExp;
  /** Seconds in which it has begun; null when the client does not wait for it. */
  readonly answeredWithin: number | null;
  /** Seconds after which the server holds the connection no more; null when it may. */
  readonly closedWithin: number | null;
  begin(port: number): Socket;
}

/** @param allowHalfOpen whether its side stays open when the server closes the other one */
function open(port: number, allowHalfOpen = true): Socket {
  const options = { port, host: '127.0.0.1', allowHalfOpen };
  return connect(options).on('error', () => undefined);
}

function post(path: string, body: object | string, length?: number): string {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const size = length ?? Buffer.byteLength(text);
  return (
    `POST ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n` +
    `Content-Type: application/json\r\nContent-Length: ${size}\r\n\r\n${text}`
  );
}

const messages = [{ role: 'user', content: 'Tell me a story about an owl.' }];
const CHAT = '/v1/chat/completions';

const UNREAD = post(CHAT, {
  messages,
  stream: true,
  n: 8,
  logprobs: true,
  top_logprobs: 20,
  ignore_eos: true,
  temperature: 1,
});

/** Of which a grammar thread has for many seconds to do. */
const HARD_SCHEMA = {
  anyOf: Array.from({ length: 200 }, (_, i) => ({
    type: 'object',
    properties: Object.fromEntries(
      Array.from({ length: 20 }, (__, k) => [`p${i}_${k}`, { type: 'string', maxLength: 50 }]),
    ),
  })),
};

const TOOLS = Array.from({ length: 128 }, (_, i) => ({
  type: 'function',
  function: {
    name: `tool_${i}`,
    parameters: {
      type: 'object',
      properties: Object.fromEntries(
        Array.from({ length: 400 }, (__, k) => [`property_${k}`, { type: 'string' }]),
      ),
    },
  },
}));

const OVERSIZED = post(CHAT, { messages, tools: TOOLS, tool_choice: 'required' });

/** Of which the template has for a second to do. */
const TURNS = Array.from({ length: 2000 }, (_, i) => ({
  role: i % 2 === 0 ? 'user' : 'assistant',
  content: 'a',
}));
const LONG = post(CHAT, { messages: TURNS });

export const MISFORTUNES: readonly Misfortune[] = [
  {
    name: 'a stream that nobody reads',
    everyMs: 300,
    atOnce: 4,
    answer: /^HTTP\/1\.1 (200|503)/,
    answeredWithin: null,
    closedWithin: null,
    begin: (port) => {
      const socket = open(port);
      socket.pause().write(UNREAD);
      return socket;
    },
  },
  {
    name: 'no HTTP, and a side that stays open',
    everyMs: 20,
    atOnce: 400,
    answer: /^HTTP\/1\.1 (400|503)/,
    answeredWithin: 2,
    closedWithin: 4,
    begin: (port) => {
      const socket = open(port).resume();
      socket.write('GARBAGE\r\n\r\n');
      return socket;
    },
  },
  {
    name: 'silence',
    everyMs: 20,
    atOnce: 400,
    answer: /^HTTP\/1\.1 (408|503)/,
    answeredWithin: 6,
    closedWithin: 8,
    begin: (port) => open(port).resume(),
  },
  {
    name: 'a grammar that is abandoned',
    everyMs: 1000,
    atOnce: 3,
    answer: /^HTTP\/1\.1 503/,
    answeredWithin: null,
    closedWithin: null,
    begin: (port) => {
      const socket = open(port).resume();
      socket.write(post(CHAT, { messages, max_tokens: 20, guided_json: HARD_SCHEMA }));
      setTimeout(() => socket.destroy(), 500);
      return socket;
    },
  },
  {
    name: 'tools that are too large',
    everyMs: 2000,
    atOnce: 2,
    answer: /^HTTP\/1\.1 (400|503)[^]*values|^HTTP\/1\.1 503/,
    answeredWithin: 5,
    closedWithin: null,
    begin: (port) => {
      const socket = open(port, false).resume();
      socket.write(OVERSIZED);
      return socket;
    },
  },
  {
    name: 'a conversation of thousands of messages',
    everyMs: 500,
    atOnce: 2,
    answer: /^HTTP\/1\.1 (400|503)/,
    answeredWithin: 15,
    closedWithin: null,
    begin: (port) => {
      const socket = open(port, false).resume();
      socket.write(LONG);
      return socket;
    },
  },
  {
    name: 'a body that drips',
    everyMs: 100,
    atOnce: 40,
    answer: /^HTTP\/1\.1 (408|503)/,
    answeredWithin: 6,
    closedWithin: 8,
    begin: (port) => {
      const socket = open(port).resume();
      socket.write(post(CHAT, '{"messages":', 9_000_000));
      const timer = setInterval(() => socket.write(' '.repeat(1000)), 100);
      socket.once('close', () => clearInterval(timer));
      return socket;
    },
  },
];
