import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { metric, type RunningServer, startOctavo } from '../support/octavo-process.js';

const TINY = fileURLToPath(new URL('../../models/octavo-tiny', import.meta.url));
const MODELS = ['--model', `owl=${TINY}`, '--model', `cat=${TINY}`];

interface Completion {
  readonly choices: readonly { readonly text: string; readonly finish_reason: string }[];
  readonly usage: { readonly completion_tokens: number };
}

async function post(url: string, body: object): Promise<Response> {
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) });
  expect(response.status).toBe(200);
  return response;
}

async function complete(
  { url }: Pick<RunningServer, 'url'>,
  model: string,
  body: object,
): Promise<Completion> {
  const greedy = { model, temperature: 0, ignore_eos: true, ...body };
  return (await (await post(`${url}/v1/completions`, greedy)).json()) as Completion;
}

describe('two real models', () => {
  it('that take turns in one place lose nothing of any answer', async () => {
    const args = ['--max-loaded-models', '1', '--kv-cache-memory', '16MiB'];
    const server = await startOctavo([...MODELS, ...args]);
    const prompt = (i: number): object => ({ prompt: `Once upon a time ${i}`, max_tokens: 24 });
    const alone = [];
    for (let i = 0; i < 6; i++) alone.push(await complete(server, 'owl', prompt(i)));
    const names = ['owl', 'cat', 'owl', 'cat', 'cat', 'owl'];
    const together = await Promise.all(names.map((name, i) => complete(server, name, prompt(i))));
    expect(
      together.map(({ choices, usage }) => [choices[0].text, usage.completion_tokens]),
    ).toEqual(alone.map(({ choices }) => [choices[0].text, 24]));
    // The second model was loaded, so the first one had gone.
    expect(await metric(server.url, 'vllm:model_unloads_total')).toBeGreaterThan(0);
  });

  it('are both served while one has all the work it can take', async () => {
    const args = ['--kv-cache-memory', '32MiB', '--max-num-seqs', '8'];
    const server = await startOctavo([...MODELS, ...args]);
    await complete(server, 'cat', { prompt: 'x', max_tokens: 1 });
    const flood = new AbortController();
    const { signal } = flood;
    let ended = 0;
    // More than runs at a time, each as long as the context allows.
    const work = Array.from({ length: 24 }, async (_, i) => {
      const body = { model: 'owl', prompt: `${i}`, max_tokens: 1900, ignore_eos: true };
      const headers = { 'content-type': 'application/json' };
      const options = { method: 'POST', headers, body: JSON.stringify(body), signal };
      await (await fetch(`${server.url}/v1/completions`, options)).text();
      ended++;
    });
    await expect.poll(() => metric(server.url, 'vllm:num_requests_running')).toBe(8);
    for (let i = 0; i < 3; i++) {
      const { usage } = await complete(server, 'cat', { prompt: `${i}`, max_tokens: 32 });
      expect(usage.completion_tokens).toBe(32);
    }
    // 96 tokens of one model were not behind 45,600 of the other.
    expect(ended).toBeLessThan(24);
    flood.abort();
    const failures = (await Promise.allSettled(work)).filter(({ status }) => status === 'rejected');
    expect(failures.length).toBe(24 - ended);
  });

  it.skipIf(process.platform !== 'linux')('give their memory back when they sleep', async () => {
    const server = await startOctavo([...MODELS, '--kv-cache-memory', '128MiB']);
    const resident = (): number => {
      const status = readFileSync(`/proc/${server.child.pid ?? 0}/status`, 'utf8');
      return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
    };
    const use = async (model: string): Promise<void> => {
      // Prompts that have nothing in common, so that pages are written.
      for (let i = 0; i < 4; i++) {
        const prompt = Array.from({ length: 1200 }, (_, j) => 3 + ((37 * i + 7 * j) % 1000));
        await complete(server, model, { prompt, max_tokens: 1 });
      }
    };
    await use('owl');
    const before = resident();
    const loaded = [];
    for (let i = 0; i < 4; i++) {
      await use('cat');
      loaded.push(resident());
      await post(`${server.url}/sleep?model=cat`, {});
    }
    const taken = loaded[0] - before;
    expect(taken).toBeGreaterThan(50);
    // What one load takes would otherwise be there four times.
    expect(loaded[3] - loaded[0]).toBeLessThan(taken);
    expect(resident()).toBeLessThan(loaded[3]);
  });
});
