import { afterEach, describe, expect, test } from 'vitest';
import { OctavoError } from '../../../engine/errors.js';
import { truncateAndNormalize } from '../../../engine/generation/normalize.js';
import type { EngineRequest } from '../../../engine/protocol/request.js';
import { bytesOf } from '../../support/byte-model.js';
import { ScriptedEngine } from '../../support/scripted-engine.js';
import { eventually, startTestServer, stopTestServers } from '../../support/test-server.js';

afterEach(stopTestServers);

const MODEL = 'byte-model';

/** A vector of 8 that depends on the prompt only. */
const vectorOf = (ids: readonly number[]): Float32Array =>
  Float32Array.from({ length: 8 }, (_, i) => Math.sin((i + 1) * ids.reduce((a, b) => a + b, 0)));

const embedding = (): ScriptedEngine =>
  new ScriptedEngine(({ promptTokenIds }: EngineRequest) => ({
    steps: [[]],
    finish: 'stop',
    embedding: vectorOf(promptTokenIds),
  }));

const unit = (vector: Float32Array): number[] => [...truncateAndNormalize(vector, vector.length)];

const expectClose = (actual: readonly number[] | undefined, expected: readonly number[]): void => {
  expect(actual?.length).toBe(expected.length);
  expected.forEach((value, i) => expect(actual?.[i]).toBeCloseTo(value, 6));
};

describe('with the official client', () => {
  // The client asks for base64 unless it is told otherwise, and decodes it.
  test.each([undefined, 'float' as const])('one text (%s)', async (format) => {
    const engine = embedding();
    const { client } = await startTestServer(engine);
    const answer = await client.embeddings.create({
      model: MODEL,
      input: 'Grüße',
      ...(format ? { encoding_format: format } : {}),
    });
    expect(answer).toMatchObject({
      object: 'list',
      model: MODEL,
      data: [{ object: 'embedding', index: 0 }],
      usage: { prompt_tokens: 7, total_tokens: 7 },
    });
    const vector = answer.data[0]?.embedding ?? [];
    expectClose(vector, unit(vectorOf(bytesOf('Grüße'))));
    expect(Math.hypot(...vector)).toBeCloseTo(1, 6);
    expect(engine.submitted[0]?.request.pooling).toBe('last');
  });

  test.each<[string, string[] | number[] | number[][], number[][]]>([
    ['texts', ['a', 'bc'], [[97], [98, 99]]],
    ['token ids', [97, 98], [[97, 98]]],
    ['lists of ids', [[97], [98, 99]], [[97], [98, 99]]],
  ])('%s', async (_, input, prompts) => {
    const engine = embedding();
    const { client } = await startTestServer(engine, { settings: { pooling: 'mean' } });
    const { data, usage } = await client.embeddings.create({ model: MODEL, input });
    expect(engine.submitted.map(({ request }) => request.promptTokenIds)).toEqual(prompts);
    expect(engine.submitted.every(({ request }) => request.pooling === 'mean')).toBe(true);
    data.forEach((item, i) => {
      expect(item.index).toBe(i);
      expectClose(item.embedding, unit(vectorOf(prompts[i] ?? [])));
    });
    expect(usage.prompt_tokens).toBe(prompts.flat().length);
  });

  test('dimensions: cut, then normalized', async () => {
    const { client } = await startTestServer(embedding());
    const { data } = await client.embeddings.create({ model: MODEL, input: 'x', dimensions: 3 });
    expectClose(data[0]?.embedding, unit(vectorOf(bytesOf('x')).slice(0, 3)));
  });
});

test('base64 is little-endian float32', async () => {
  const { post } = await startTestServer(embedding());
  const answer = await post('/v1/embeddings', { input: 'x', encoding_format: 'base64' });
  const body = (await answer.json()) as { data: { embedding: string }[] };
  const bytes = Buffer.from(body.data[0]?.embedding ?? '', 'base64');
  expect(bytes.length).toBe(32);
  const values = Array.from({ length: 8 }, (_, i) => bytes.readFloatLE(i * 4));
  expectClose(values, unit(vectorOf(bytesOf('x'))));
});

test.each<[string, object, string, RegExp, string | null]>([
  ['no input', {}, 'input', /missing/, null],
  ['an empty text', { input: '' }, 'input', /empty/, null],
  ['an empty text in a batch', { input: ['a', ''] }, 'input[1]', /empty/, null],
  ['an empty batch', { input: [] }, 'input', /1 items/, null],
  ['no ids', { input: [[]] }, 'input[0]', /1 items/, null],
  ['an alien id', { input: [[1], [400]] }, 'input[1]', /vocabulary of 400/, null],
  ['too long', { input: 'x'.repeat(257) }, 'input', /256.*257/, 'context_length_exceeded'],
  [
    'too long in a batch',
    { input: ['a', 'x'.repeat(257)] },
    'input[1]',
    /257/,
    'context_length_exceeded',
  ],
  ['too many dimensions', { input: 'x', dimensions: 9 }, 'dimensions', /8/, null],
  ['no dimensions', { input: 'x', dimensions: 0 }, 'dimensions', />= 1/, null],
  [
    'a cut beyond the context',
    { input: 'x', truncate_prompt_tokens: 257 },
    'truncate_prompt_tokens',
    /-1, or 1 to 256/,
    null,
  ],
  ['a format', { input: 'x', encoding_format: 'hex' }, 'encoding_format', /float, base64/, null],
])('%s is a 400', async (_, body, param, message, code) => {
  const engine = embedding();
  const { post } = await startTestServer(engine);
  const response = await post('/v1/embeddings', body);
  expect(response.status).toBe(400);
  const { error } = (await response.json()) as { error: { message: string } };
  expect(error).toMatchObject({ param, code });
  expect(error.message).toMatch(message);
  expect(engine.submitted).toEqual([]);
});

test('a prompt as long as the context fits: nothing is generated', async () => {
  const { post } = await startTestServer(embedding());
  const answer = await post('/v1/embeddings', { input: 'x'.repeat(256) });
  expect(answer.status).toBe(200);
});

test('an error of the engine is one of the API', async () => {
  const error = new OctavoError('overloaded', 'too much');
  const engine = new ScriptedEngine(() => ({ steps: [], finish: null, error }));
  const { post, inFlight } = await startTestServer(engine);
  expect((await post('/v1/embeddings', { input: ['a', 'b'] })).status).toBe(503);
  await inFlight.idle();
});

test('a client that leaves aborts all of its prompts', async () => {
  const engine = new ScriptedEngine(() => ({ steps: [], finish: null }));
  const { url } = await startTestServer(engine);
  const controller = new AbortController();
  const call = fetch(`${url}/v1/embeddings`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ input: ['a', 'b'] }),
    signal: controller.signal,
  });
  await eventually(() => engine.submitted.length === 2, 'submit');
  controller.abort();
  await expect(call).rejects.toThrow(/abort/);
  await eventually(() => engine.alive.length === 0, 'abort');
});

test('prompts are counted', async () => {
  const { post, url } = await startTestServer(embedding());
  await post('/v1/embeddings', { input: ['abc', 'de'] });
  const metrics = await (await fetch(`${url}/metrics`)).text();
  expect(metrics).toMatch(/vllm:prompt_tokens_total\{.*\} 5\n/);
  expect(metrics).toMatch(/request_success_total\{finished_reason="stop".*\} 2\n/);
});

test('a zero vector stays zero', () => {
  expect([...truncateAndNormalize(new Float32Array(3), 2)]).toEqual([0, 0]);
});
