import fc from 'fast-check';
import { expect, test } from 'vitest';
import { eventually } from '../support/eventually.js';
import { metric, startOctavo } from '../support/octavo-process.js';
import { post } from './answers.js';
import { GRAMMAR_FIELDS } from './grammar-values.js';

/** For longer runs than a test has time for, and for others. */
const BATCHES = Number(process.env['FUZZ_BATCHES'] ?? '4');
const SEED = Number(process.env['FUZZ_SEED'] ?? '1');
const BATCH = 16;

/** The embedded model's. */
const VOCABULARY = 2048;

const tokenIds = fc.nat(VOCABULARY - 1);
const texts = fc.oneof(
  fc.constantFrom(
    'Tell me a story about an owl.',
    'What is 12 + 7?',
    '<|im_end|>',
    '\0',
    '😀\ud83d',
    ' ',
  ),
  fc.string({ unit: 'binary', minLength: 1, maxLength: 30 }),
);

/** Each field alone is valid; together they may ask for anything. */
const wishes = {
  temperature: fc.constantFrom(0, 1e-9, 0.01, 1, 2),
  top_p: fc.constantFrom(1e-9, 0.5, 1),
  top_k: fc.constantFrom(-1, 0, 1, 3, VOCABULARY, 2 ** 31),
  min_p: fc.constantFrom(0, 1e-9, 0.5, 1),
  typical_p: fc.constantFrom(1e-9, 0.5, 1),
  presence_penalty: fc.constantFrom(-2, 0, 2),
  frequency_penalty: fc.constantFrom(-2, 0, 2),
  repetition_penalty: fc.constantFrom(0.01, 1, 100),
  seed: fc.constantFrom(0, -1, 2 ** 32, Number.MAX_SAFE_INTEGER),
  logit_bias: fc.oneof(
    fc.dictionary(tokenIds.map(String), fc.constantFrom(-100, -1, 0, 1, 100), { maxKeys: 20 }),
    // All tokens at once.
    fc
      .constantFrom(-100, 100)
      .map((bias) => Object.fromEntries(Array.from({ length: VOCABULARY }, (_, id) => [id, bias]))),
  ),
  stop: fc.oneof(
    texts,
    fc.array(fc.constantFrom('a', ' ', 'the', '\n', '"', '}', 'é', 'owl. '), { maxLength: 16 }),
  ),
  stop_token_ids: fc.array(tokenIds, { maxLength: 30 }),
  ignore_eos: fc.boolean(),
  min_tokens: fc.nat(12),
  include_stop_str_in_output: fc.boolean(),
  skip_special_tokens: fc.boolean(),
  n: fc.integer({ min: 1, max: 4 }),
  priority: fc.constantFrom(-1000, 0, 1000),
  cache_salt: fc.constantFrom('a', 'b'),
  return_token_ids: fc.boolean(),
};

const TOOL = {
  type: 'function',
  function: { name: 'f', parameters: { type: 'object', properties: { a: { type: 'integer' } } } },
};

const common = fc
  .tuple(
    fc.record(wishes, { requiredKeys: [], noNullPrototype: true }),
    fc.subarray(Object.keys(wishes), { minLength: 12 }),
    fc.option(
      fc
        .constantFrom(...Object.keys(GRAMMAR_FIELDS))
        .chain((name) => fc.record({ [name]: GRAMMAR_FIELDS[name] }, { noNullPrototype: true })),
    ),
    fc.boolean(),
  )
  .map(([all, left, form, stream]) => {
    const kept = Object.entries(all).filter(([name]) => !left.includes(name));
    return Object.assign(Object.fromEntries(kept), form, { stream, max_tokens: 12 });
  });

const requests: fc.Arbitrary<{ path: string; body: object }> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .record({
        body: common,
        prompt: fc.oneof(
          texts,
          fc.array(tokenIds, { minLength: 1, maxLength: 60 }),
          fc.array(fc.array(tokenIds, { minLength: 1, maxLength: 20 }), {
            minLength: 1,
            maxLength: 3,
          }),
        ),
        more: fc.record(
          {
            logprobs: fc.nat(20),
            echo: fc.boolean(),
            best_of: fc.constantFrom(4, 5),
            prompt_logprobs: fc.nat(3),
          },
          { requiredKeys: [], noNullPrototype: true },
        ),
        plain: fc.boolean(),
      })
      .map(({ body, prompt, more, plain }) => ({
        path: '/v1/completions',
        body: { ...body, prompt, ...(plain ? {} : more) },
      })),
  },
  {
    weight: 4,
    arbitrary: fc
      .record({
        body: common,
        content: texts,
        more: fc.constantFrom(
          {},
          {},
          { logprobs: true, top_logprobs: 5 },
          { tools: [TOOL] },
          { tools: [TOOL], tool_choice: 'required' },
        ),
      })
      .map(({ body, content, more }) => ({
        path: '/v1/chat/completions',
        body: { ...body, messages: [{ role: 'user', content }], ...more },
      })),
  },
  {
    weight: 1,
    arbitrary: fc
      .oneof(texts, fc.array(tokenIds, { minLength: 1, maxLength: 60 }))
      .map((input) => ({ path: '/v1/embeddings', body: { input } })),
  },
);

test('the real model survives whatever is asked of it', { timeout: 600_000 }, async () => {
  const { url, child } = await startOctavo();
  let output = '';
  child.stdout?.on('data', (piece: Buffer) => (output += piece.toString()));
  child.stderr?.on('data', (piece: Buffer) => (output += piece.toString()));
  const statuses: Record<number, number> = {};
  const batches = fc.sample(
    fc.array(fc.noBias(requests), { minLength: BATCH, maxLength: BATCH, size: 'max' }),
    { numRuns: BATCHES, seed: SEED },
  );
  for (const batch of batches) {
    await Promise.all(
      batch.map(async ({ path, body }) => {
        const text = JSON.stringify(body);
        const status = await post(url + path, text, 180_000).catch((error: unknown) => {
          throw new Error(`${path} ${text.slice(0, 3000)}`, { cause: error });
        });
        statuses[status] = (statuses[status] ?? 0) + 1;
      }),
    );
    expect((await fetch(`${url}/health`)).status).toBe(200);
    await eventually(async () => (await metric(url, 'vllm:num_requests_running')) === 0, 'the end');
    await expect.poll(() => metric(url, 'vllm:num_requests_waiting')).toBe(0);
    await expect.poll(() => metric(url, 'vllm:kv_cache_usage_perc')).toBe(0);
  }
  // An engine or a grammar thread that fails says so.
  expect(output.split('\n').filter((line) => /ERROR|WARN|FATAL|"level":[456]0/.test(line))).toEqual(
    [],
  );
  expect(statuses[200]).toBeGreaterThan((BATCHES * BATCH) / 3);
  expect(Object.keys(statuses)).toEqual(['200', '400']);
});
