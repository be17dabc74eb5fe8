import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EngineOptions } from '../../../engine/protocol/options.js';
import type { LoadedEngine } from '../../../engine/thread/load-engine.js';
import type { TokenId } from '../../../scheduler/ids.js';
import { adapterDir, adapterGolden } from '../../support/adapters.js';
import { checkpointDir, checkpointGolden } from '../../support/checkpoint-fixtures.js';
import type { Golden } from '../../support/export-fixtures.js';
import { loadTiny, tinyRequest } from '../../support/octavo-tiny.js';

const BASE = 'llama2';
const NAMES = ['all', 'few', 'patterns'] as const;
const goldens = new Map<string | null, Golden>([
  [null, checkpointGolden(BASE)],
  ...NAMES.map((name) => [name, adapterGolden(BASE, name)] as const),
]);
/** Every prompt of every adapter and of the model alone, and what it says. */
const everyone = [...goldens].flatMap(([adapter, { prompts, tokens }]) =>
  prompts.map((prompt, i) => ({ adapter, prompt: prompt as TokenId[], text: tokens[i] })),
);
const expected = everyone.map(({ text }) => text);

const source = (name: string) => ({ name, directory: adapterDir(BASE, name) });

function loadWith(options: Partial<EngineOptions> = {}): Promise<LoadedEngine> {
  const lora = { adapters: NAMES.map(source), maxLoras: 3, maxRank: 8 };
  return loadTiny({ modelDir: checkpointDir(BASE), threads: 1, lora, ...options });
}

/** The prompt of an adapter that fills two blocks, and what it says. */
const of = (name: string) => {
  const found = everyone.find(({ adapter, prompt }) => adapter === name && prompt.length > 32);
  return found ?? expect.unreachable();
};

const TOKENS = 16;

interface Answer {
  readonly text: readonly TokenId[];
  readonly cachedTokens: number;
}

type Asked = readonly { readonly prompt: readonly TokenId[]; readonly adapter: string | null }[];

let nextId = 0;

/** Runs requests together. */
async function run({ core }: LoadedEngine, asked: Asked): Promise<Answer[]> {
  const ids = asked.map(({ prompt, adapter }) => {
    const id = `request-${nextId++}`;
    core.add(tinyRequest(id, prompt, { adapter, maxTokens: TOKENS }));
    return id;
  });
  const answers = new Map(ids.map((id) => [id, { text: [] as TokenId[], cachedTokens: 0 }]));
  while (core.hasWork) {
    for (const { id, tokenIds, cachedTokens } of (await core.step()) ?? []) {
      const answer = answers.get(id);
      answer?.text.push(...tokenIds);
      if (answer) answer.cachedTokens = cachedTokens;
    }
  }
  core.checkIntegrity();
  return [...answers.values()];
}

const textsOf = (answers: readonly Answer[]): (readonly TokenId[])[] =>
  answers.map(({ text }) => text);

describe('an engine with adapters', () => {
  let engine: LoadedEngine;

  beforeAll(async () => {
    engine = await loadWith();
  });
  afterAll(() => engine.runner.dispose());

  it('generates what merged models do, again from the cache, which adapters do not share', async () => {
    const first = await run(engine, everyone);
    expect(textsOf(first)).toEqual(expected);
    expect(first.map(({ cachedTokens }) => cachedTokens)).toEqual(everyone.map(() => 0));
    const again = await run(engine, everyone);
    expect(textsOf(again)).toEqual(expected);
    const whole = everyone.map(({ prompt }) => Math.floor((prompt.length - 1) / 16) * 16);
    expect(again.map(({ cachedTokens }) => cachedTokens)).toEqual(whole);
  });

  it('keeps one prompt apart for each adapter', async () => {
    const [{ prompt }] = everyone.slice(1);
    const asked = [...goldens.keys()].map((adapter) => ({ adapter, prompt }));
    const together = textsOf(await run(engine, asked));
    expect(new Set(together.map(String)).size).toBe(asked.length);
    expect(textsOf(await run(engine, asked))).toEqual(together);
    expect(together[0]).toEqual(expected[1]);
  });

  it('generates the same in small pieces, and when it runs out of blocks', async () => {
    const blockBytes = 16 * 2 * 4 * 8 * 2 * 4;
    const small = { maxModelLength: 64, maxNumBatchedTokens: 20, kvCacheBytes: 12 * blockBytes };
    const tight = await loadWith(small);
    expect(textsOf(await run(tight, everyone))).toEqual(expected);
    expect(tight.core.stats.preemptions).toBeGreaterThan(0);
    await tight.runner.dispose();
  });

  it('shares pages of an adapter that is loaded again, whatever its name', async () => {
    const { core } = engine;
    const { prompt, text } = of('all');
    core.unloadAdapter('all');
    expect(() => core.add(tinyRequest('late', prompt, { adapter: 'all' }))).toThrow(
      "the adapter 'all' is not loaded",
    );
    await core.loadAdapter('again', adapterDir(BASE, 'all'), false);
    const [answer] = await run(engine, [{ prompt, adapter: 'again' }]);
    expect(answer).toEqual({ text, cachedTokens: 32 });
    core.unloadAdapter('again');
    await core.loadAdapter('all', adapterDir(BASE, 'all'), false);
  });

  it('keeps an adapter that is unloaded or replaced until its requests have ended', async () => {
    const { core } = engine;
    const texts = new Map<string, TokenId[]>();
    for (const name of ['all', 'few']) {
      core.add(tinyRequest(name, of(name).prompt, { adapter: name, maxTokens: TOKENS }));
      texts.set(name, []);
    }
    for (let step = 0; core.hasWork; step++) {
      for (const { id, tokenIds } of (await core.step()) ?? []) texts.get(id)?.push(...tokenIds);
      if (step !== 3) continue;
      core.unloadAdapter('all');
      await expect(
        core.loadAdapter('other', adapterDir(BASE, 'all'), false),
      ).resolves.not.toThrow();
      core.unloadAdapter('other');
      await core.loadAdapter('few', adapterDir(BASE, 'patterns'), true);
      expect(core.stats.adapters).toEqual({ running: ['all', 'few'], waiting: [] });
    }
    expect(texts.get('all')).toEqual(of('all').text);
    expect(texts.get('few')).toEqual(of('few').text);
    const { prompt, text } = of('patterns');
    const [answer] = await run(engine, [{ prompt, adapter: 'few' }]);
    expect(answer.text).toEqual(text);
    expect(core.adapters?.map(({ name }) => name).sort()).toEqual(['few', 'patterns']);
  });

  it('refuses what there is no room for, and names that are taken', async () => {
    const lora = { adapters: [source('all')], maxLoras: 1, maxRank: 8 };
    const full = await loadWith({ lora });
    const { core } = full;
    const load = (name: string, from: string) =>
      core.loadAdapter(name, adapterDir(BASE, from), false);
    await expect(load('all', 'few')).rejects.toThrow("'all' is loaded already");
    await expect(load('few', 'few')).rejects.toThrow(
      "the adapter 'few' has no room: 1 are loaded; unload one, or raise --max-loras",
    );
    // The same content is there already.
    await load('same', 'all');
    expect(() => core.unloadAdapter('none')).toThrow("the adapter 'none' is not loaded");
    const { prompt } = of('all');
    core.add(tinyRequest('last', prompt, { adapter: 'all', maxTokens: 4 }));
    core.unloadAdapter('all');
    core.unloadAdapter('same');
    await expect(load('few', 'few')).rejects.toThrow('1 of them for requests that still run');
    while (core.hasWork) await core.step();
    await load('few', 'few');
    await full.runner.dispose();
  });

  it('is refused where there are none', async () => {
    const plain = await loadTiny({ modelDir: checkpointDir(BASE), threads: 1 });
    const { prompt } = of('all');
    const request = tinyRequest('alone', prompt, { adapter: 'all' });
    expect(() => plain.core.add(request)).toThrow('takes no adapters');
    await plain.runner.dispose();
  });
});
