import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../support/eventually.js';
import { metric } from '../support/octavo-process.js';
import { type Answer, ATTACKER, AttackedServer, chatOf, INNOCENT, list } from './attack.js';

// What one client can do to all others with grammars and tools. Quiet, /health takes milliseconds
// and the small things tens of them.
const MAX_HEALTH_MS = 1000;
const MAX_CHAT_MS = 2000;
const MAX_GRAMMAR_MS = 5000;

let server: AttackedServer;
beforeAll(async () => {
  server = await AttackedServer.start();
  // Threads are there from the first grammar on.
  await server.chat(INNOCENT, { guided_choice: ['warm'] });
});
afterAll(() => server.kill());

const properties = (length: number): object =>
  Object.fromEntries(list(length, (index) => [`p${index}`, { type: 'string' }]));
const tools = (count: number, members: number): object => ({
  tool_choice: 'required',
  tools: list(count, (index) => ({
    type: 'function',
    function: {
      name: `f${index}`,
      parameters: { type: 'object', properties: properties(members) },
    },
  })),
});
const slowSchema = (length: number): object => ({
  anyOf: list(200, (i) => ({
    type: 'object',
    properties: Object.fromEntries(
      list(20, (k) => [`p${i}_${k}`, { type: 'string', maxLength: length }]),
    ),
  })),
});

/** What is asked for, and the statuses that are right. */
const ATTACKS: Readonly<Record<string, readonly [body: object, statuses: readonly number[]]>> = {
  '128 tools with 1,000 properties each': [tools(128, 1000), [400]],
  '128 tools with 100 properties each': [tools(128, 100), [200, 400]],
  '16 tools with 250 properties each': [tools(16, 250), [200, 400]],
  'tools that may be called, with 128,000 properties': [
    { ...tools(128, 1000), tool_choice: 'auto' },
    [400],
  ],
  'a pattern of 20,000 states in 12 characters': [{ guided_regex: '(a|aa){1000}' }, [400]],
  'a pattern whose states double': [{ guided_regex: '(a|b)*a.{20}' }, [400]],
  'an enum of 10,000 values': [{ guided_json: { enum: list(10_000, (i) => `v${i}`) } }, [200, 400]],
  '10,000 choices': [{ guided_choice: list(10_000, (i) => `v${i}`) }, [200, 400]],
  'a pattern of 400,000 characters': [{ guided_regex: 'a'.repeat(400_000) }, [400]],
  'a schema of 3 MB': [
    { guided_json: { enum: list(300, (i) => `${i}${'x'.repeat(10_000)}`) } },
    [400],
  ],
  'a chain of 5,000 alternatives': [
    {
      guided_json: {
        $defs: Object.fromEntries(
          list(5000, (i) => [
            `d${i}`,
            { anyOf: [i < 4999 ? { $ref: `#/$defs/d${i + 1}` } : { type: 'null' }] },
          ]),
        ),
        $ref: '#/$defs/d0',
      },
    },
    [200, 400],
  ],
};

describe.each(Object.keys(ATTACKS))('%s, from 8 connections at once', (name) => {
  test('other clients do not wait', async () => {
    const [fields, statuses] = ATTACKS[name];
    const body = chatOf(fields);
    const attack = Promise.all(
      list(8, async () => {
        const controller = new AbortController();
        setTimeout(() => controller.abort(), 15_000);
        return server
          .post(ATTACKER, '/v1/chat/completions', body, controller.signal)
          .catch(() => null);
      }),
    );
    const others = async (): Promise<[Answer, Answer]> => {
      await new Promise((resolve) => setTimeout(resolve, 100));
      return [
        await server.chat(INNOCENT, {}),
        await server.chat(INNOCENT, { guided_regex: `[a-c]{3}${name.length}` }),
      ];
    };
    const { result, health, factor } = await server.healthDuring(Promise.all([attack, others()]));
    const [answers, [chat, grammar]] = result;
    for (const answer of answers) if (answer) expect(statuses).toContain(answer.status);
    expect([chat.status, grammar.status, grammar.text]).toEqual([200, 200, grammar.text]);
    expect(health.at(-1)).toBeLessThan(MAX_HEALTH_MS * factor);
    expect(chat.ms).toBeLessThan(MAX_CHAT_MS * factor);
    expect(grammar.ms).toBeLessThan(MAX_GRAMMAR_MS * factor);
  });
});

test('six compilations whose clients have left', async () => {
  const left = list(6, async (i) => {
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 1000);
    await server
      .chat(ATTACKER, { guided_json: slowSchema(50 + i) }, controller.signal)
      .catch(() => null);
  });
  await Promise.all(left);
  // The same key, so that a share of its own does not help.
  const { result, health, factor } = await server.healthDuring(
    server.chat(ATTACKER, { guided_regex: '[a-c]{3}' }),
  );
  expect(result.status).toBe(200);
  expect(result.ms).toBeLessThan(MAX_GRAMMAR_MS * factor);
  expect(health.at(-1)).toBeLessThan(MAX_HEALTH_MS * factor);
});

test('six compilations whose client stays', async () => {
  const controller = new AbortController();
  const slow = list(6, (i) =>
    server.chat(ATTACKER, { guided_json: slowSchema(60 + i) }, controller.signal).catch(() => null),
  );
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const { result, health, factor } = await server.healthDuring(
    server.chat(INNOCENT, { guided_regex: '[d-f]{3}' }),
  );
  controller.abort();
  await Promise.all(slow);
  expect(result.status).toBe(200);
  expect(result.ms).toBeLessThan(MAX_GRAMMAR_MS * factor);
  expect(health.at(-1)).toBeLessThan(MAX_HEALTH_MS * factor);
  await eventually(async () => (await waiting()) === 0, 'nothing waits');
});

const waiting = (): Promise<number> => metric(server.url, 'vllm:num_requests_waiting');
