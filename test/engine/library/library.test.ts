import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createEngine, type OctavoEngine, OctavoError } from '../../../engine/index.js';
import { blurredTiny } from '../../support/draft-models.js';

const HELLO = [{ role: 'user', content: 'Hello' }] as const;

let engine: OctavoEngine;

beforeAll(async () => {
  engine = await createEngine({ kvCacheMemory: 64 * 2 ** 20, threads: 1 });
});

afterAll(() => engine.close());

const failure = (promise: PromiseLike<unknown>): Promise<OctavoError> =>
  Promise.resolve(promise).then(
    () => expect.unreachable(),
    (error: unknown) => error as OctavoError,
  );

describe('the library', () => {
  it('serves the embedded model, streaming or whole: the text is the same', async () => {
    expect(engine.model).toBe('octavo-tiny');
    const options = { temperature: 0, maxTokens: 24 };
    const answer = engine.chat(HELLO, options);
    let text = '';
    for await (const part of answer) text += part.text;
    const streamed = await answer.result();
    const long = [{ role: 'user', content: 'Tell me of a cat that sat. '.repeat(8) }] as const;
    await engine.chat(long, options);
    expect((await engine.chat(long, options)).usage.cachedTokens).toBeGreaterThan(0);
    const whole = await engine.chat(HELLO, options);
    expect(text).not.toBe('');
    expect(streamed.text).toBe(text);
    expect(whole.text).toBe(text);
    expect(whole.message).toEqual({ role: 'assistant', content: text });
    const { promptTokens, completionTokens, totalTokens } = whole.usage;
    expect(totalTokens).toBe(promptTokens + completionTokens);
    expect(['stop', 'length']).toContain(whole.finishReason);
  });

  it('computes several prompts together, each as if alone', async () => {
    const options = { temperature: 0, maxTokens: 8 };
    const prompts = ['The cat', 'One, two,', 'Once upon a time'];
    const together = await engine.generate(prompts, options);
    const alone = [];
    for (const prompt of prompts) alone.push(await engine.generate(prompt, options));
    expect(together.map(({ text }) => text)).toEqual(alone.map(({ text }) => text));
    const parts = ['', '', ''];
    for await (const { index, text } of engine.generate(prompts, options)) parts[index] += text;
    expect(parts).toEqual(together.map(({ text }) => text));
  });

  it('samples by seed, and says which stop text has ended an output', async () => {
    const options = { temperature: 1, seed: 7, maxTokens: 16 };
    const [a, b] = await Promise.all([
      engine.generate('The', options),
      engine.generate('The', options),
    ]);
    expect(a.text).toBe(b.text);
    const stop = a.text.trim().slice(1, 3);
    const cut = await engine.generate('The', { ...options, stop });
    expect(cut).toMatchObject({ finishReason: 'stop', stopReason: stop });
    expect(a.text.startsWith(cut.text)).toBe(true);
    expect(cut.text).not.toContain(stop);
  });

  it('takes a prediction and drafts, which change no text but its steps', async () => {
    const options = { temperature: 0, maxTokens: 24 };
    const plain = await engine.chat(HELLO, options);
    const steps = (): number =>
      engine.stats.speculation?.acceptedAt.reduce((a, b) => a + b, 0) ?? 0;
    const before = steps();
    const predicted = await engine.chat(HELLO, { ...options, prediction: plain.text });
    expect(predicted.text).toBe(plain.text);
    await expect.poll(steps).toBeGreaterThan(before);
    await using drafting = await createEngine({
      kvCacheMemory: 64 * 2 ** 20,
      threads: 1,
      speculativeConfig: { method: 'ngram' },
    });
    expect((await drafting.chat(HELLO, options)).text).toBe(plain.text);
    const wrong = createEngine({ speculativeConfig: { method: 'guess' } });
    expect((await failure(wrong)).message).toContain('guess');
    const long = engine.generate('The', { prediction: 'word '.repeat(100_000) });
    expect(await failure(long)).toMatchObject({ param: 'prediction' });
  });

  it('gives n outputs of each prompt, as seed, seed + 1, ... do', async () => {
    const options = { temperature: 1, seed: 11, maxTokens: 8 };
    const alone = [];
    for (const seed of [11, 12, 13]) alone.push(await engine.generate('The', { ...options, seed }));
    const texts = alone.map(({ text }) => text);
    expect(new Set(texts).size).toBeGreaterThan(1);
    const answer = engine.generate(['The', 'Once'], { ...options, n: 3 });
    const parts = [0, 1].map(() => ['', '', '']);
    for await (const { index, choice, text } of answer) parts[index][choice] += text;
    expect(parts[0]).toEqual(texts);
    const all = await answer.result();
    expect(all.map((choices) => choices.map(({ text }) => text))).toEqual(parts);
    const several = await engine.generate('The', { ...options, n: 2 });
    expect(several.map(({ text }) => text)).toEqual(texts.slice(0, 2));
    const said = await engine.chat(HELLO, { ...options, n: 2 });
    const first = await engine.chat(HELLO, options);
    expect(said.map(({ message }) => message.role)).toEqual(['assistant', 'assistant']);
    expect(said[0].text).toBe(first.text);
    expect(await failure(engine.chat(HELLO, { n: 0 }))).toMatchObject({ param: 'n' });
  });

  it('says how likely each token was, and the likeliest beside it', async () => {
    const options = { temperature: 0, maxTokens: 6, logprobs: 2 };
    const answer = engine.generate('The cat', options);
    const parts = [];
    for await (const { logprobs } of answer) parts.push(...(logprobs ?? []));
    const { text, logprobs, usage } = await answer.result();
    expect(parts).toEqual(logprobs);
    expect(logprobs).toHaveLength(usage.completionTokens);
    expect(engine.detokenize(logprobs?.map(({ tokenId }) => tokenId) ?? [])).toContain(text.trim());
    for (const { top, ...token } of logprobs ?? []) {
      expect(top[0]).toEqual(token);
      expect(top).toHaveLength(2);
      expect(top[1].logprob).toBeLessThanOrEqual(token.logprob);
      expect(token.logprob).toBeLessThanOrEqual(0);
    }
    const [said] = await engine.chat(HELLO, { ...options, logprobs: 0, n: 1 });
    expect(said.logprobs?.every(({ top }) => top.length === 0)).toBe(true);
    expect((await engine.generate('The', { maxTokens: 1 })).logprobs).toBeNull();
    expect(await failure(engine.generate('x', { logprobs: 129 }))).toMatchObject({
      kind: 'invalid_request',
      param: 'logprobs',
    });
  });

  it('holds an output to a schema', async () => {
    const schema = {
      type: 'object',
      properties: { color: { enum: ['red', 'green'] } },
      required: ['color'],
      additionalProperties: false,
    };
    const { text } = await engine.chat(HELLO, {
      responseFormat: { type: 'json_schema', schema },
      maxTokens: 64,
      seed: 1,
    });
    expect(['red', 'green']).toContain((JSON.parse(text) as { color: string }).color);
    const choice = { type: 'choice', choices: ['yes', 'no'] } as const;
    const { text: word } = await engine.generate('Is it?', { responseFormat: choice });
    expect(choice.choices).toContain(word);
    const bad = { type: 'regex', pattern: '(' } as const;
    expect(await failure(engine.generate('x', { responseFormat: bad }))).toMatchObject({
      kind: 'invalid_request',
      param: 'responseFormat',
    });
  });

  it('calls a tool that it must call, and takes the result', async () => {
    const tools = [
      {
        type: 'function',
        function: {
          name: 'weather',
          parameters: {
            type: 'object',
            properties: { days: { enum: [1, 2] } },
            required: ['days'],
          },
        },
      },
    ] as const;
    const asked = await engine.chat(HELLO, {
      tools,
      toolChoice: 'required',
      parallelToolCalls: false,
      maxTokens: 128,
      seed: 3,
    });
    expect(asked.finishReason).toBe('tool_calls');
    const [call] = asked.toolCalls;
    expect(call.function.name).toBe('weather');
    expect([1, 2]).toContain((JSON.parse(call.function.arguments) as { days: number }).days);
    const result = { role: 'tool', tool_call_id: call.id, content: 'sunny' } as const;
    const told = await engine.chat([...HELLO, asked.message, result], { tools, maxTokens: 8 });
    expect(told.usage.completionTokens).toBeGreaterThan(0);
  });

  it('embeds texts as vectors of length 1', async () => {
    const [a, b] = await engine.embed(['cat', 'dog']);
    expect(a).toHaveLength(engine.embeddingSize);
    expect(Math.hypot(...a)).toBeCloseTo(1, 5);
    expect(await engine.embed('cat')).toEqual(a);
    expect(b).not.toEqual(a);
    expect(await engine.embed('cat', { dimensions: 4 })).toHaveLength(4);
  });

  it('shows the tokens of a text', () => {
    const ids = engine.tokenize('The cat sat.');
    expect(engine.detokenize(ids, { skipSpecialTokens: true })).toBe('The cat sat.');
  });

  it('ends with its signal, or when its reader leaves, and gives the blocks back', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    const answer = engine.generate('The', { ignoreEos: true, signal: controller.signal });
    const read = (async () => {
      for await (const _part of answer) controller.abort(reason);
    })();
    await expect(read).rejects.toBe(reason);
    await expect(answer.result()).rejects.toBe(reason);
    const aborted = engine.generate('x', { signal: AbortSignal.abort(reason) });
    await expect(aborted.result()).rejects.toBe(reason);
    for await (const _part of engine.generate('The', { ignoreEos: true })) break;
    await expect.poll(() => engine.stats.running).toBe(0);
  });

  it('refuses what is not allowed, by the table of errors', async () => {
    expect(await failure(engine.generate('x', { temperature: 3 }))).toMatchObject({
      kind: 'invalid_request',
      param: 'temperature',
    });
    const unknown = { max_tokens: 3 } as object;
    expect((await failure(engine.chat(HELLO, unknown))).message).toMatch(
      /^max_tokens is no option/,
    );
    const long = await failure(engine.generate('cat '.repeat(5000)));
    expect(long).toBeInstanceOf(OctavoError);
    expect(long).toMatchObject({
      kind: 'context_length_exceeded',
      code: 'context_length_exceeded',
    });
    expect(await failure(engine.chat([]))).toMatchObject({ param: 'messages' });
    expect(await failure(createEngine({ kvDtype: 'f8' as 'f32' }))).toMatchObject({
      kind: 'invalid_request',
      param: 'kvDtype',
    });
    expect(await failure(createEngine({ model: '/nowhere/at all' }))).toMatchObject({
      kind: 'usage',
    });
  });

  it('is read once', async () => {
    const answer = engine.generate('x', { maxTokens: 1 });
    await answer;
    expect(() => answer[Symbol.asyncIterator]()).toThrow(/read once/);
    expect(await answer.result()).toBe(await answer);
  });

  it('ends at the end of a scope', async () => {
    let closed: OctavoEngine;
    {
      await using other = await createEngine({ kvCacheMemory: 64 * 2 ** 20, threads: 1 });
      closed = other;
    }
    await expect(closed.generate('x').result()).rejects.toMatchObject({ kind: 'draining' });
  });
});

describe('a draft model', () => {
  it('drafts in the engine of another model, and changes no text', async () => {
    const blurred = blurredTiny(0.1);
    try {
      const drafted = await createEngine({
        kvCacheMemory: 64 * 2 ** 20,
        threads: 1,
        speculativeConfig: JSON.stringify({ model: blurred.dir, num_speculative_tokens: 4 }),
      });
      try {
        for (const options of [{ temperature: 0 }, { temperature: 0.9, seed: 4 }]) {
          const asked = { ...options, maxTokens: 24 };
          const prompts = ['The cat', 'One, two,', 'Once upon a time'];
          expect(await drafted.generate(prompts, asked)).toEqual(
            await engine.generate(prompts, asked),
          );
        }
      } finally {
        await drafted.close();
      }
    } finally {
      blurred.remove();
    }
  });
});

describe('layers that draft', () => {
  it('draft in the engine of the model that they were trained for, and change no text', async () => {
    const layers = fileURLToPath(new URL('../../../models/octavo-tiny-poss', import.meta.url));
    const drafted = await createEngine({
      kvCacheMemory: 64 * 2 ** 20,
      threads: 1,
      speculativeConfig: JSON.stringify({ method: 'eagle', model: layers }),
    });
    try {
      const asked = { temperature: 0.9, seed: 4, maxTokens: 24 };
      const prompts = ['The cat', 'One, two,', 'Once upon a time'];
      expect(await drafted.generate(prompts, asked)).toEqual(await engine.generate(prompts, asked));
    } finally {
      await drafted.close();
    }
  });
});
