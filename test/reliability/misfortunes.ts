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
  begin(port: number): Socket;
}

function open(port: number): Socket {
  const options = { port, host: '127.0.0.1', allowHalfOpen: true };
  return connect(options).on('error', () => undefined);
}

function post(path: string, body: object | string, length?: number): string {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const size = length ?? Buffer.byteLength(text);
  return (
    `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n` +
    `Content-Length: ${size}\r\n\r\n${text}`
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

export const MISFORTUNES: readonly Misfortune[] = [
  {
    name: 'a stream that nobody reads',
    everyMs: 300,
    atOnce: 4,
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
    begin: (port) => {
      const socket = open(port).resume();
      socket.write('GARBAGE\r\n\r\n');
      return socket;
    },
  },
  { name: 'silence', everyMs: 20, atOnce: 400, begin: (port) => open(port).resume() },
  {
    name: 'a grammar that is abandoned',
    everyMs: 1000,
    atOnce: 3,
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
    begin: (port) => {
      const socket = open(port).resume();
      socket.write(OVERSIZED);
      return socket;
    },
  },
  {
    name: 'a body that drips',
    everyMs: 100,
    atOnce: 40,
    begin: (port) => {
      const socket = open(port).resume();
      socket.write(post(CHAT, '{"messages":', 9_000_000));
      const timer = setInterval(() => socket.write(' '.repeat(1000)), 100);
      socket.once('close', () => clearInterval(timer));
      return socket;
    },
  },
];
