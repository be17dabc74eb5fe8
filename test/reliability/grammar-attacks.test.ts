import { request } from 'undici';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { processorShares } from '../../bench/lib/processor-shares.js';
import { eventually } from '../support/eventually.js';
import { metric, type RunningServer, startSharedOctavo } from '../support/octavo-process.js';

// What one client can do to all others with grammars and tools: one key attacks, another one asks
// for something small. Quiet, /health takes milliseconds and the small things tens of them.
const MAX_HEALTH_MS = 1000;
const MAX_CHAT_MS = 2000;
const MAX_GRAMMAR_MS = 5000;
/**
 * Where others take more of the processors than this, some of the waiting is theirs: bounds are so
 * many times as long.
 */
const FOREIGN_SHARE = 0.2;
const BUSY_FACTOR = 6;

const ATTACKER = 'attacker-key';
const INNOCENT = 'innocent-key';

let server: RunningServer & { kill: () => void };
beforeAll(async () => {
  server = await startSharedOctavo([
    '--threads',
    '1',
    '--api-key',
    ATTACKER,
    '--api-key',
    INNOCENT,
  ]);
  // Threads are there from the first grammar on.
  await timed(INNOCENT, { guided_choice: ['warm'] });
}, 60_000);
afterAll(() => server.kill());

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly ms: number;
}

const bodyOf = (more: object): string =>
  JSON.stringify({
    model: 'octavo-tiny',
    messages: [{ role: 'user', content: 'hi' }],
    max_tokens: 4,
    ...more,
  });

async function timed(key: string, more: object | string, signal?: AbortSignal): Promise<Answer> {
  const start = performance.now();
  const { statusCode, body } = await request(`${server.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
    body: typeof more === 'string' ? more : bodyOf(more),
    ...(signal ? { signal } : {}),
  });
  const text = await body.text();
  return { status: statusCode, text, ms: performance.now() - start };
}

/** Longest time that /health takes while something runs. */
async function healthDuring<Result>(
  work: Promise<Result>,
): Promise<{ result: Result; healthMs: number; factor: number }> {
  const shares = processorShares(server.child.pid ?? 0);
  const over = new AbortController();
  let healthMs = 0;
  const watch = async (): Promise<void> => {
    while (!over.signal.aborted) {
      const start = performance.now();
      const { body } = await request(`${server.url}/health`);
      await body.dump();
      healthMs = Math.max(healthMs, performance.now() - start);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  const watching = watch();
  try {
    const result = await work;
    // The last one may have arrived between two checks.
    await new Promise((resolve) => setTimeout(resolve, 50));
    return { result, healthMs, factor: shares().foreign < FOREIGN_SHARE ? 1 : BUSY_FACTOR };
  } finally {
    over.abort();
    await watching;
  }
}

const list = <T>(length: number, of: (index: number) => T): T[] =>
  Array.from({ length }, (_, index) => of(index));
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
  test('nobody else waits', { timeout: 120_000 }, async () => {
    const [fields, statuses] = ATTACKS[name];
    const body = bodyOf(fields);
    const attack = Promise.all(
      list(8, async () => {
        const controller = new AbortController();
        setTimeout(() => controller.abort(), 15_000);
        return timed(ATTACKER, body, controller.signal).catch(() => null);
      }),
    );
    const others = async (): Promise<[Answer, Answer]> => {
      await new Promise((resolve) => setTimeout(resolve, 100));
      return [
        await timed(INNOCENT, {}),
        await timed(INNOCENT, { guided_regex: `[a-c]{3}${name.length}` }),
      ];
    };
    const { result, healthMs, factor } = await healthDuring(Promise.all([attack, others()]));
    const [answers, [chat, grammar]] = result;
    for (const answer of answers) if (answer) expect(statuses).toContain(answer.status);
    expect([chat.status, grammar.status, grammar.text]).toEqual([200, 200, grammar.text]);
    expect(healthMs).toBeLessThan(MAX_HEALTH_MS * factor);
    expect(chat.ms).toBeLessThan(MAX_CHAT_MS * factor);
    expect(grammar.ms).toBeLessThan(MAX_GRAMMAR_MS * factor);
  });
});

test('six compilations that nobody waits for any more', { timeout: 120_000 }, async () => {
  const left = list(6, async (i) => {
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 1000);
    await timed(ATTACKER, { guided_json: slowSchema(50 + i) }, controller.signal).catch(() => null);
  });
  await Promise.all(left);
  // The same key, so that a share of its own does not help.
  const { result, healthMs, factor } = await healthDuring(
    timed(ATTACKER, { guided_regex: '[a-c]{3}' }),
  );
  expect(result.status).toBe(200);
  expect(result.ms).toBeLessThan(MAX_GRAMMAR_MS * factor);
  expect(healthMs).toBeLessThan(MAX_HEALTH_MS * factor);
});

test('six compilations that somebody waits for', { timeout: 120_000 }, async () => {
  const controller = new AbortController();
  const slow = list(6, (i) =>
    timed(ATTACKER, { guided_json: slowSchema(60 + i) }, controller.signal).catch(() => null),
  );
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const { result, healthMs, factor } = await healthDuring(
    timed(INNOCENT, { guided_regex: '[d-f]{3}' }),
  );
  controller.abort();
  await Promise.all(slow);
  expect(result.status).toBe(200);
  expect(result.ms).toBeLessThan(MAX_GRAMMAR_MS * factor);
  expect(healthMs).toBeLessThan(MAX_HEALTH_MS * factor);
  await eventually(async () => (await waiting()) === 0, 'nothing waits');
});

const waiting = (): Promise<number> => metric(server.url, 'vllm:num_requests_waiting');
