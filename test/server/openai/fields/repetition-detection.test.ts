import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { type ServedTiny, serveTiny } from '../../../support/served-tiny.js';

let server: ServedTiny;
beforeAll(async () => {
  server = await serveTiny();
});
afterAll(() => server.stop());

const model = 'octavo-tiny';
const messages = [{ role: 'user' as const, content: 'Hello' }];
/** One token over and over. */
const REPEATING = { allowed_token_ids: [65], seed: 1 };
const FIVE_TIMES = { repetition_detection: { max_pattern_size: 4, min_count: 5 } };
const ENDED = { finish_reason: 'repetition', stop_reason: 'repetition_detected' };

describe('a text that repeats itself ends', () => {
  test('in a chat, whole and streamed', async () => {
    const asked = { model, messages, max_tokens: 30, ...REPEATING, ...FIVE_TIMES };
    const whole = await server.client.chat.completions.create(asked);
    expect(whole.choices[0]).toMatchObject(ENDED);
    expect(whole.usage?.completion_tokens).toBe(5);
    const stream = await server.client.chat.completions.create({ ...asked, stream: true });
    let text = '';
    let last: object = {};
    for await (const { choices } of stream) {
      text += choices[0]?.delta.content ?? '';
      last = choices[0];
    }
    expect(last).toMatchObject(ENDED);
    expect(text).toBe(whole.choices[0]?.message.content);
  });

  test('in completions, each choice by itself', async () => {
    const asked = { model, prompt: ['a', 'b'], n: 2, max_tokens: 30, ...REPEATING };
    const whole = await server.client.completions.create({ ...asked, ...FIVE_TIMES });
    expect(whole.choices).toHaveLength(4);
    for (const choice of whole.choices) expect(choice).toMatchObject(ENDED);
    expect(whole.usage?.completion_tokens).toBe(20);
    const ends: unknown[] = [];
    const streaming = { ...asked, ...FIVE_TIMES, stream: true as const };
    for await (const { choices } of await server.client.completions.create(streaming)) {
      ends.push(...choices.filter(({ finish_reason: reason }) => reason));
    }
    expect(ends).toHaveLength(4);
    for (const end of ends) expect(end).toMatchObject(ENDED);
  });

  test('in responses, which are then incomplete', async () => {
    const asked = { model, input: 'Hello', max_output_tokens: 30, ...REPEATING, ...FIVE_TIMES };
    const cut = { status: 'incomplete', incomplete_details: { reason: 'repetition' } };
    expect(await server.client.responses.create(asked)).toMatchObject(cut);
    const events: { type: string; response?: object }[] = [];
    for await (const event of await server.client.responses.create({ ...asked, stream: true })) {
      events.push(event);
    }
    expect(events.at(-1)).toMatchObject({ type: 'response.incomplete', response: cut });
  });

  test('not before min_tokens, nor by a pattern that is too small', async () => {
    const asked = { model, prompt: 'a', max_tokens: 12, ...REPEATING };
    const late = { ...asked, ...FIVE_TIMES, min_tokens: 9 };
    const later = await server.client.completions.create(late);
    expect([later.choices[0].finish_reason, later.usage?.completion_tokens]).toEqual([
      'repetition',
      9,
    ]);
    const larger = { max_pattern_size: 8, min_pattern_size: 7, min_count: 2 };
    const fields = { ...asked, repetition_detection: larger };
    expect((await server.client.completions.create(fields)).choices[0].finish_reason).toBe(
      'length',
    );
  });

  test('as metrics and log say', async () => {
    const { post, url, log } = server;
    const asked = { prompt: 'a', max_tokens: 30, ...REPEATING, ...FIVE_TIMES };
    expect((await post('/v1/completions', asked)).status).toBe(200);
    const metrics = await (await fetch(`${url}/metrics`)).text();
    expect(metrics).toMatch(
      /request_success_total\{[^}]*finished_reason="repetition"[^}]*\} [1-9]/,
    );
    expect(log.filter(({ finishReason }) => finishReason === 'repetition')).not.toEqual([]);
  });
});

describe('a detection that asks for nothing', () => {
  it.each([{}, { max_pattern_size: 0, min_count: 7 }, null])('%j is none', async (none) => {
    const asked = { prompt: 'a', max_tokens: 12, ...REPEATING, repetition_detection: none };
    const answer = await (await server.post('/v1/completions', asked)).json();
    expect(answer).toMatchObject({ choices: [{ finish_reason: 'length', stop_reason: null }] });
  });
});

describe.each([
  ['/v1/chat/completions', { messages }],
  ['/v1/completions', { prompt: 'a' }],
  ['/v1/responses', { input: 'a' }],
])('%s', (path, prompt) => {
  it.each<[object | number, string, RegExp]>([
    [7, 'repetition_detection', /object/],
    [{ max_pattern_size: -1 }, 'repetition_detection.max_pattern_size', />= 0/],
    [{ max_pattern_size: 2049 }, 'repetition_detection.max_pattern_size', /<= 2048/],
    [{ max_pattern_size: 1.5 }, 'repetition_detection.max_pattern_size', /integer/],
    [
      { max_pattern_size: 2, min_pattern_size: 3, min_count: 2 },
      'repetition_detection.min_pattern_size',
      /is 3: it must be at most max_pattern_size, which is 2/,
    ],
    [
      { max_pattern_size: 2, min_count: 1 },
      'repetition_detection.min_count',
      /is 1: it must be at least 2/,
    ],
  ])('refuses %j', async (repetition_detection, param, message) => {
    const response = await server.post(path, { ...prompt, repetition_detection });
    expect(response.status).toBe(400);
    const { error } = (await response.json()) as { error: { param: string; message: string } };
    expect(error).toMatchObject({ param, message: expect.stringMatching(message) as string });
  });

  it('refuses it with beam search', async () => {
    const response = await server.post(path, { ...prompt, ...FIVE_TIMES, use_beam_search: true });
    expect(await response.json()).toMatchObject({
      error: { param: 'repetition_detection' },
    });
  });
});
