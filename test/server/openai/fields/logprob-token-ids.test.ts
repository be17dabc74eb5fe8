import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { type ServedTiny, serveTiny } from '../../../support/served-tiny.js';

let server: ServedTiny;
beforeAll(async () => {
  server = await serveTiny();
});
afterAll(() => server.stop());

const model = 'octavo-tiny';
const CAPITAL = 'What is the capital of France?';
const messages = [{ role: 'user' as const, content: CAPITAL }];
/** As ids, so that tokens that read alike are told apart. */
const PLAIN = { model, temperature: 0, return_tokens_as_token_ids: true };
const IDS = [5, 900, 42, 2047];

interface Place {
  readonly token: string;
  readonly logprob: number;
  readonly top_logprobs: readonly { readonly token: string; readonly logprob: number }[];
}

const nameOf = (id: number): string => `token_id:${id}`;

/** Of each place, the log-probabilities of the tokens beside the chosen one. */
function assertPlaces(places: readonly Place[]): void {
  for (const { token, logprob, top_logprobs: top } of places) {
    const others = IDS.map(nameOf).filter((name) => name !== token);
    expect(top.map((entry) => entry.token)).toEqual([token, ...others]);
    expect(top[0].logprob).toBe(logprob);
  }
}

/** Log-probabilities of all of the likeliest tokens, by an ordinary request for 20 of them. */
async function likeliest(more: object): Promise<readonly Place[]> {
  const asked = { ...PLAIN, messages, max_tokens: 6, logprobs: true, top_logprobs: 20, ...more };
  const { choices } = await server.client.chat.completions.create(asked);
  return choices[0].logprobs?.content as Place[];
}

describe('log-probabilities of certain tokens', () => {
  test('are those that they have among the likeliest', async () => {
    const places = await likeliest({});
    const ids = places[0].top_logprobs.map(({ token }) => Number(token.slice(9))).reverse();
    const asked = { ...PLAIN, messages, max_tokens: 6, logprobs: true, logprob_token_ids: ids };
    const { choices } = await server.client.chat.completions.create(asked);
    const first = choices[0].logprobs?.content?.[0].top_logprobs ?? [];
    const byName = new Map(first.map(({ token, logprob }) => [token, logprob]));
    for (const { token, logprob } of places[0].top_logprobs) {
      expect(byName.get(token)).toBeCloseTo(logprob, 5);
    }
  });

  test('are a distribution, with all others', async () => {
    const ids = (from: number): number[] => Array.from({ length: 128 }, (_, i) => from + i);
    let mass = 0;
    for (let from = 0; from < 2048; from += 128) {
      const fields = { ...PLAIN, prompt: 'The', max_tokens: 1, logprobs: 0 };
      const asked = { ...fields, logprob_token_ids: ids(from) };
      const { choices } = await server.client.completions.create(asked);
      const [top] = choices[0].logprobs?.top_logprobs ?? [];
      const own = ids(from).map((id) => top?.[nameOf(id)] ?? Number.NaN);
      mass += own.reduce((sum, logprob) => sum + Math.exp(logprob), 0);
    }
    expect(mass).toBeCloseTo(1, 4);
  });

  test('in a chat, whole, streamed, and with a cached prompt', async () => {
    const asked = { ...PLAIN, messages, max_tokens: 6, logprobs: true, logprob_token_ids: IDS };
    const answers: Place[][] = [];
    for (let i = 0; i < 2; i++) {
      // The second time, its prompt is found in the cache.
      const { choices } = await server.client.chat.completions.create(asked);
      answers.push(choices[0].logprobs?.content as Place[]);
    }
    const streamed: Place[] = [];
    for await (const { choices } of await server.client.chat.completions.create({
      ...asked,
      stream: true,
    })) {
      streamed.push(...((choices[0]?.logprobs?.content ?? []) as Place[]));
    }
    assertPlaces(answers[0]);
    expect(answers[1]).toEqual(answers[0]);
    expect(streamed).toEqual(answers[0]);
    const places = await likeliest({});
    expect(answers[0].map(({ token }) => token)).toEqual(places.map(({ token }) => token));
  });

  test('with drafts of a prediction, under a grammar, and with edited logits', async () => {
    const asked = { ...PLAIN, messages, max_tokens: 8, logprobs: true };
    const cases = [
      { prediction: { type: 'content' as const, content: 'The capital of France is Paris.' } },
      { structured_outputs: { regex: '(Paris|London) is the one' } },
      { logit_bias: { '5': 3 }, temperature: 1, seed: 3, n: 2 },
    ];
    for (const more of cases) {
      const own = { ...asked, ...more, logprob_token_ids: IDS };
      const { choices } = await server.client.chat.completions.create(own);
      const plain = await server.client.chat.completions.create({ ...asked, ...more });
      for (const [i, { logprobs }] of choices.entries()) {
        const places = logprobs?.content as Place[];
        const others = plain.choices[i].logprobs?.content as Place[];
        assertPlaces(places);
        expect(places.map(({ token }) => token)).toEqual(others.map(({ token }) => token));
        for (const [at, { logprob }] of places.entries()) {
          expect(logprob).toBeCloseTo(others[at].logprob, 5);
        }
      }
    }
  });

  test('in completions, where those of an echoed prompt are the likeliest', async () => {
    const fields = { ...PLAIN, prompt: 'The capital', max_tokens: 3, logprobs: 2, echo: true };
    const asked = { ...fields, logprob_token_ids: IDS };
    const { choices } = await server.client.completions.create(asked);
    const { tokens = [], top_logprobs: top = [] } = choices[0].logprobs ?? {};
    const places = top.map((place, i) => [tokens[i], Object.keys(place ?? {})] as const);
    for (const [token, names] of places.slice(-3)) {
      expect(names).toEqual([token, ...IDS.map(nameOf).filter((name) => name !== token)]);
    }
    const prompt = places.slice(1, -3);
    expect(prompt.length).toBeGreaterThan(0);
    for (const [, names] of prompt) expect(names.length).toBeLessThanOrEqual(3);
  });

  test('in responses', async () => {
    const fields = { model, input: CAPITAL, temperature: 0, max_output_tokens: 4 };
    const include = ['message.output_text.logprobs' as const];
    const asked = { ...fields, include, logprob_token_ids: IDS };
    const { output } = await server.client.responses.create(asked);
    const [item] = output as { content: { logprobs: Place[] }[] }[];
    const [{ logprobs }] = item.content;
    expect(logprobs).toHaveLength(4);
    for (const { token, top_logprobs: top } of logprobs) {
      expect(top[0].token).toBe(token);
      expect([4, 5]).toContain(top.length);
    }
  });

  test('an empty list asks for nothing, and one that names a token twice for it once', async () => {
    expect((await likeliest({ logprob_token_ids: [] }))[0].top_logprobs).toHaveLength(20);
    const twice = { ...PLAIN, messages, max_tokens: 1, logprobs: true, logprob_token_ids: [9, 9] };
    const { choices } = await server.client.chat.completions.create(twice);
    expect(choices[0].logprobs?.content?.[0]?.top_logprobs).toHaveLength(2);
  });
});

const LOGPROBS = { include: ['message.output_text.logprobs'] };

describe.each([
  ['/v1/chat/completions', { messages }, { logprobs: true }],
  ['/v1/completions', { prompt: 'a' }, { logprobs: 0 }],
  ['/v1/responses', { input: 'a' }, LOGPROBS],
])('%s', (path, prompt, on) => {
  it.each<[string, object, RegExp]>([
    [
      'ids without log-probabilities',
      { logprob_token_ids: [1] },
      /allowed only with (logprobs|inc)/,
    ],
    ['ids outside of the vocabulary', { ...on, logprob_token_ids: [2048] }, /2048 is not in the/],
    ['more than 128', { ...on, logprob_token_ids: Array(129).fill(1) }, /128/],
    ['beams', { ...on, logprob_token_ids: [1], use_beam_search: true }, /use_beam_search/],
  ])('refuses %s', async (_, fields, message) => {
    const response = await server.post(path, { ...prompt, ...fields });
    expect(response.status).toBe(400);
    const { error } = (await response.json()) as { error: { param: string; message: string } };
    expect(error.param).toBe('logprob_token_ids');
    expect(error.message).toMatch(message);
  });
});

test('/v1/completions refuses them for a prompt alone', async () => {
  const fields = { prompt: 'a', echo: true, max_tokens: 0, logprobs: 1, logprob_token_ids: [1] };
  expect(await (await server.post('/v1/completions', fields)).json()).toMatchObject({
    error: { param: 'logprob_token_ids' },
  });
});
