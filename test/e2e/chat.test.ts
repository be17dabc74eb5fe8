import { connect } from 'node:net';
import OpenAI from 'openai';
import { describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.js';
import { metric, SLOW_MODEL, startOctavo } from '../support/octavo-process.js';

const client = (url: string): OpenAI =>
  new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 });

async function streamedText(
  api: OpenAI,
  content: string,
  seed = 1,
  temperature = 0,
): Promise<string> {
  const stream = await api.chat.completions.create({
    model: 'octavo-tiny',
    messages: [{ role: 'user', content }],
    stream: true,
    max_tokens: 60,
    temperature,
    seed,
  });
  let text = '';
  for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
  return text;
}

const QUESTIONS = [
  'What is the capital of France?',
  'Hello!',
  'What is 12 + 7?',
  'Count from 3 to 12.',
  'Repeat: blue fox lamp',
  'Give me a JSON object with name Tom and age 7.',
  'Tell me a story about an owl.',
  'What colour is grass?',
];

describe('octavo serve, with the embedded model and the official client', () => {
  it('holds a streamed chat', async () => {
    const { url } = await startOctavo();
    const api = client(url);
    const models = await api.models.list();
    expect(models.data.map(({ id }) => id)).toEqual(['octavo-tiny']);

    const messages: OpenAI.ChatCompletionMessageParam[] = [];
    const ask = async (content: string): Promise<string> => {
      messages.push({ role: 'user', content });
      const stream = await api.chat.completions.create({
        model: 'octavo-tiny',
        messages,
        stream: true,
        temperature: 0,
      });
      let text = '';
      for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
      messages.push({ role: 'assistant', content: text });
      return text;
    };
    expect(await ask('Hello!')).toMatch(/^(Hello|Hi)!/);
    expect(await ask('What is the capital of France?')).toBe('The capital of France is Paris.');
    expect(await ask('How many days are in a week?')).toBe('A week has seven days.');
  });

  it('gives each of 16 concurrent streams the text that it gives alone', async () => {
    const { url } = await startOctavo();
    const api = client(url);
    const jobs = [...QUESTIONS, ...QUESTIONS].map((question, i) => ({
      question,
      seed: i,
      temperature: i < QUESTIONS.length ? 0 : 0.8,
    }));
    const alone: string[] = [];
    for (const { question, seed, temperature } of jobs) {
      alone.push(await streamedText(api, question, seed, temperature));
    }
    const together = await Promise.all(
      jobs.map(({ question, seed, temperature }) => streamedText(api, question, seed, temperature)),
    );
    expect(together).toEqual(alone);
  });

  it('stops a request whose client hangs up, and frees its blocks', async () => {
    const { url } = await startOctavo([], SLOW_MODEL);
    const { port, hostname } = new URL(url);
    const body = JSON.stringify({
      model: 'octavo-tiny',
      prompt: 'Once upon a time',
      max_tokens: 2000,
      ignore_eos: true,
      stream: true,
    });
    const socket = connect(Number(port), hostname);
    socket.write(
      `POST /v1/completions HTTP/1.1\r\nHost: ${hostname}\r\nContent-Type: application/json\r\n` +
        `Content-Length: ${body.length}\r\n\r\n${body}`,
    );
    await new Promise((resolve) => socket.once('data', resolve));
    socket.destroy();
    await eventually(
      async () => (await metric(url, 'vllm:request_success_total')) === 1,
      'it is counted',
    );
    await expect.poll(() => metric(url, 'vllm:num_requests_running')).toBe(0);
    await expect.poll(() => metric(url, 'vllm:kv_cache_usage_perc')).toBe(0);
    expect(await metric(url, 'vllm:generation_tokens_total')).toBeLessThan(2000);
  });

  it('keeps its memory over 2,000 requests', async () => {
    const { url } = await startOctavo();
    const request = async (i: number): Promise<void> => {
      const response = await fetch(`${url}/v1/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model: 'octavo-tiny', prompt: `Hello ${i}`, max_tokens: 4 }),
      });
      expect(response.status).toBe(200);
      await response.arrayBuffer();
    };
    const run = async (from: number, to: number): Promise<void> => {
      let next = from;
      const worker = async (): Promise<void> => {
        while (next < to) await request(next++);
      };
      await Promise.all(Array.from({ length: 16 }, worker));
    };
    const resident = (): Promise<number> => metric(url, 'process_resident_memory_bytes');
    await run(0, 1000);
    const half = await resident();
    await run(1000, 2000);
    // Pages of the cache are committed as they are first used: what 1,000 requests newly touch
    // stays below this.
    expect((await resident()) - half).toBeLessThan(48 * 2 ** 20);
    await expect.poll(() => metric(url, 'vllm:kv_cache_usage_perc')).toBe(0);
  });
});
