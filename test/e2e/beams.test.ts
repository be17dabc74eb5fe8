import OpenAI from 'openai';
import { expect, it } from 'vitest';
import { eventually } from '../support/eventually.js';
import { metric, startOctavo } from '../support/octavo-process.js';

const BEAMS = { use_beam_search: true } as object;

it('beam search through the official client, beside other requests, and left in the middle', async () => {
  const { url } = await startOctavo();
  const api = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 });
  const asked = { model: 'octavo-tiny', prompt: 'Once upon a time', max_tokens: 24 };
  const [found, chat, greedy, single] = await Promise.all([
    api.completions.create({ ...asked, ...BEAMS, n: 4, logprobs: 0 }),
    api.chat.completions.create({
      model: 'octavo-tiny',
      messages: [{ role: 'user', content: 'What is the capital of France?' }],
      n: 2,
      ...BEAMS,
      max_tokens: 24,
    }),
    api.completions.create({ ...asked, temperature: 0 }),
    api.completions.create({ ...asked, ...BEAMS }),
  ]);
  const scores = found.choices.map(({ logprobs }) => {
    const each = logprobs?.token_logprobs ?? [];
    return each.reduce((sum, x) => sum + x, 0) / each.length;
  });
  expect(scores).toEqual([...scores].sort((a, b) => b - a));
  expect(new Set(found.choices.map(({ text }) => text)).size).toBe(4);
  expect(chat.choices[0].message.content).toContain('Paris');
  expect(chat.choices).toHaveLength(2);
  // One beam chooses the likeliest token each time.
  expect(single.choices[0].text).toBe(greedy.choices[0].text);

  const controller = new AbortController();
  const left = api.completions.create(
    { ...asked, ...BEAMS, n: 4, max_tokens: 1900 },
    { signal: controller.signal },
  );
  const running = (): Promise<number> => metric(url, 'vllm:num_requests_running');
  await eventually(async () => (await running()) >= 4, 'its beams run');
  controller.abort();
  await expect(left).rejects.toThrow(OpenAI.APIUserAbortError);
  await eventually(async () => (await running()) === 0, 'all beams have ended');
});
