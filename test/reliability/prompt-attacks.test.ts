import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ATTACKER, AttackedServer, chatOf, INNOCENT, list } from './attack.js';

// What one client can do to all others with prompts that are long to write or to tokenize: 8
// connections of one key send them, one after the other. Quiet, /health takes milliseconds.
const SECONDS = 4;
const CONNECTIONS = 8;
const MAX_HEALTH_P99_MS = 300;
const MAX_CHAT_MS = 2000;
/** Of another client's long prompt. */
const MAX_PROMPT_MS = 5000;

const TEMPLATE = fileURLToPath(new URL('slow-template.jinja', import.meta.url));

let server: AttackedServer;
beforeAll(async () => {
  server = await AttackedServer.start(['--chat-template', TEMPLATE]);
});
afterAll(() => server.kill());

const turns = (length: number, content: string): object[] =>
  list(length, (i) => ({ role: i % 2 === 0 ? 'user' : 'assistant', content }));
/** A word of the client's own is looked for in a second rendering. */
const ownRoles = list(2000, (i) => ({ role: i === 0 ? 'user' : `role-${i % 16}`, content: 'a' }));
const tools = list(64, (index) => ({
  type: 'function',
  function: {
    name: `f${index}`,
    parameters: {
      type: 'object',
      properties: Object.fromEntries(list(70, (k) => [`p${k}`, { type: 'string' }])),
    },
  },
}));
const text = 'The owl flew over the hill. '.repeat(3500);

const CHAT = '/v1/chat/completions';
const ATTACKS: Readonly<Record<string, readonly [path: string, body: string]>> = {
  '2,000 messages of one letter': [CHAT, chatOf({ messages: turns(2000, 'a') })],
  '2,000 messages of one letter for /tokenize': [
    '/tokenize',
    JSON.stringify({ messages: turns(2000, 'a') }),
  ],
  '2,000 messages of one letter for /v1/responses': [
    '/v1/responses',
    JSON.stringify({ input: turns(2000, 'a'), truncation: 'auto', max_output_tokens: 16 }),
  ],
  '2,000 messages of roles of their own': [CHAT, chatOf({ messages: ownRoles })],
  '400,000 ends of thinking in one message': [
    CHAT,
    chatOf({
      messages: [
        { role: 'user', content: 'a' },
        { role: 'assistant', content: '</think>'.repeat(400_000) },
        { role: 'user', content: 'b' },
      ],
    }),
  ],
  'tools with 9,000 values': [CHAT, chatOf({ tools })],
  'a text of 98,000 characters': [
    '/v1/completions',
    JSON.stringify({ prompt: text, max_tokens: 4 }),
  ],
  '64 texts of 98,000 characters': [
    '/v1/embeddings',
    JSON.stringify({ input: list(64, () => text) }),
  ],
  'a word of 98,000 letters': ['/tokenize', JSON.stringify({ prompt: 'a'.repeat(98_000) })],
};

describe.each(Object.keys(ATTACKS))('%s, from 8 connections at once', (name) => {
  test('/health answers, and a chat and a long prompt of another key', async () => {
    const [path, body] = ATTACKS[name];
    const over = new AbortController();
    const attack = async (): Promise<number[]> => {
      const statuses: number[] = [];
      while (!over.signal.aborted) {
        const answer = await server.post(ATTACKER, path, body, over.signal).catch(() => null);
        if (answer) statuses.push(answer.status);
      }
      return statuses;
    };
    setTimeout(() => over.abort(), SECONDS * 1000);
    const others = async () => {
      await new Promise((resolve) => setTimeout(resolve, 500));
      return {
        chat: await server.chat(INNOCENT, {}),
        prompt: await server.chat(INNOCENT, { messages: turns(200, 'b') }),
      };
    };
    const work = Promise.all([others(), ...list(CONNECTIONS, attack)]);
    const { result, health, factor } = await server.healthDuring(work);
    const [{ chat, prompt }, ...statuses] = result;
    const p99 = health[Math.ceil(health.length * 0.99) - 1];
    console.log(
      `${name}: ${statuses.flat().length} of them; /health p99 ${p99.toFixed(0)} ms, at most ` +
        `${health.at(-1)?.toFixed(0)} ms; a chat ${chat.ms.toFixed(0)} ms, a long prompt ${prompt.ms.toFixed(0)} ms`,
    );
    for (const status of statuses.flat()) expect([200, 400, 503]).toContain(status);
    expect([chat.status, prompt.status]).toEqual([200, 200]);
    expect(p99).toBeLessThan(MAX_HEALTH_P99_MS * factor);
    expect(chat.ms).toBeLessThan(MAX_CHAT_MS * factor);
    expect(prompt.ms).toBeLessThan(MAX_PROMPT_MS * factor);
  });
});
