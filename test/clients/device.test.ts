import OpenAI from 'openai';
import { beforeAll, describe, expect, it } from 'vitest';
import { startSharedOctavo } from '../support/octavo-process.js';
import { DEVICE_TIMEOUT_MS, hasWebGpu } from '../support/webgpu.js';

const model = 'octavo-tiny';
const PARIS = 'The capital of France is Paris.';
const messages = [{ role: 'user' as const, content: 'What is the capital of France?' }];

describe.skipIf(!(await hasWebGpu()))('openai, of a server on a GPU', () => {
  let client: OpenAI;
  let output: string;
  beforeAll(async () => {
    const sizes = ['--kv-cache-memory', '32MiB', '--max-num-batched-tokens', '256'];
    const server = await startSharedOctavo(['--device', 'webgpu', ...sizes]);
    client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 });
    output = server.output;
    return server.kill;
  }, DEVICE_TIMEOUT_MS);

  it('says in the log how far it is with its kernels, and where the cache is', () => {
    expect(output).toMatch(/the GPU compiles kernels, or loads .*: stage 1 of 7/);
    expect(output).toMatch(/KV cache: 32MiB, \d+ blocks of 32 tokens, f16, on the GPU \S/);
  });

  it('answers and streams, several choices and clients at once', async () => {
    const answers = await Promise.all([
      client.chat.completions.create({ model, messages, temperature: 0, n: 3 }),
      client.chat.completions.create({ model, messages, temperature: 0 }),
    ]);
    const texts = answers.flatMap(({ choices }) => choices.map(({ message }) => message.content));
    expect(texts).toEqual([PARIS, PARIS, PARIS, PARIS]);
    let streamed = '';
    const stream = { model, messages, temperature: 0, stream: true } as const;
    for await (const chunk of await client.chat.completions.create(stream)) {
      streamed += chunk.choices[0]?.delta.content ?? '';
    }
    expect(streamed).toBe(PARIS);
  });

  it('samples by a seed, with structure and log-probabilities', async () => {
    const sampled = { model, messages, seed: 7, temperature: 1, top_p: 0.9, max_tokens: 8 };
    const [first, second] = [
      await client.chat.completions.create({ ...sampled, logprobs: true, top_logprobs: 2 }),
      await client.chat.completions.create(sampled),
    ];
    expect(first.choices[0]?.message.content).toBe(second.choices[0]?.message.content);
    expect(first.choices[0]?.logprobs?.content?.[0]?.top_logprobs).toHaveLength(2);
    const response_format = {
      type: 'json_schema' as const,
      json_schema: {
        name: 'person',
        schema: { type: 'object', properties: { age: { type: 'integer' } }, required: ['age'] },
      },
    };
    const { choices } = await client.chat.completions.create({ model, messages, response_format });
    expect(JSON.parse(choices[0]?.message.content ?? '')).toHaveProperty('age');
  });
});
