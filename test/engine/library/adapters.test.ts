import { rmSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createEngine, type OctavoEngine } from '../../../engine/index.js';
import { tinyAdapter, writeAdapter } from '../../support/adapters.js';

const SMALL = { kvCacheMemory: 32 * 2 ** 20, maxModelLen: 256, threads: 1 };
const HELLO = [{ role: 'user', content: 'What is the capital of France?' }] as const;
const GREEDY = { temperature: 0, maxTokens: 12 };

describe('adapters in the library', () => {
  const directories = [1, 2].map((seed) => writeAdapter(tinyAdapter(seed, 0.3)));
  let engine: OctavoEngine;

  beforeAll(async () => {
    const lora = directories.map((directory, i) => `${['red', 'blue'][i]}=${directory}`);
    engine = await createEngine({ ...SMALL, lora });
  });
  afterAll(async () => {
    await engine.close();
    for (const directory of directories) rmSync(directory, { recursive: true, force: true });
  });

  it('are chosen by name, for chats, texts and embeddings; without one, the model answers', async () => {
    expect(engine.adapters).toEqual(['red', 'blue']);
    const names = [undefined, 'red', 'blue'];
    const of = (adapter: string | undefined) => (adapter === undefined ? {} : { adapter });
    const chats = await Promise.all(
      names.map((name) => engine.chat(HELLO, { ...GREEDY, ...of(name) })),
    );
    const texts = await Promise.all(
      names.map((name) => engine.generate('Once upon a time', { ...GREEDY, ...of(name) })),
    );
    const vectors = await Promise.all(names.map((name) => engine.embed('Hello', of(name))));
    expect(new Set(chats.map(({ text }) => text)).size).toBe(3);
    expect(new Set(texts.map(({ text }) => text)).size).toBe(3);
    expect(new Set(vectors.map((vector) => vector.join())).size).toBe(3);
    expect(chats[0].text).toContain('Paris');
  });

  it('are refused with the names that there are', async () => {
    const known = "adapter: 'green' is not loaded; there are red, blue";
    const asked = { ...GREEDY, adapter: 'green' };
    for (const call of [
      () => engine.chat(HELLO, asked).result(),
      () => engine.generate('Hello', asked).result(),
      () => engine.embed('Hello', { adapter: 'green' }),
    ]) {
      await expect(call()).rejects.toMatchObject({ message: known, param: 'adapter' });
    }
    const empty = engine.chat(HELLO, { adapter: '' }).result();
    await expect(empty).rejects.toMatchObject({ param: 'adapter' });
    await using plain = await createEngine(SMALL);
    expect(plain.adapters).toEqual([]);
    await expect(plain.chat(HELLO, { adapter: 'red' }).result()).rejects.toThrow(
      "adapter: 'red' is not loaded; the engine has none",
    );
  });
});
