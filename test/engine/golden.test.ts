import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EngineCore } from '../../engine/core/engine-core.js';
import { fullRowsOf } from '../../engine/decoding/logits-query.js';
import { PLAIN_REQUEST } from '../../engine/protocol/request.js';
import { GREEDY } from '../../engine/sampling/sampling-params.js';
import type { LoadedEngine } from '../../engine/thread/load-engine.js';
import type { SequenceId, TokenId } from '../../scheduler/ids.js';
import { loadTiny } from '../support/octavo-tiny.js';

// Made by models/octavo-tiny/training/golden.py with transformers' LlamaForCausalLM in float32.
interface Golden {
  readonly kind: 'text' | 'chat';
  readonly prompt: readonly TokenId[];
  readonly tokens: readonly TokenId[];
}

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
const goldens = JSON.parse(
  readFileSync(path('../fixtures/octavo-tiny/generations.json'), 'utf8'),
) as readonly Golden[];
const END = 2 as TokenId;
/** Logits after each prompt are stored as whole numbers of it. */
const STEP = 2 ** -13;

function readLogits(): Float32Array {
  const bytes = gunzipSync(readFileSync(path('../fixtures/octavo-tiny/logits.bin.gz')));
  const count = bytes.length / 3;
  // All lowest bytes, all middle ones, all highest ones.
  return Float32Array.from({ length: count }, (_, i) => {
    const high = bytes.readInt8(i + 2 * count);
    return ((high << 16) | (bytes[i + count] << 8) | bytes[i]) * STEP;
  });
}

/** Runs prompts to their end, all at once; returns their tokens in the same order. */
async function generate({ core }: LoadedEngine, cases: readonly Golden[]): Promise<TokenId[][]> {
  const texts = new Map<SequenceId, TokenId[]>();
  cases.forEach(({ prompt, tokens }, i) => {
    const id = `case-${i}` as SequenceId;
    texts.set(id, []);
    core.add({
      ids: [id],
      promptTokenIds: prompt,
      maxTokens: Math.max(tokens.length, 1),
      stopTokenIds: [END],
      sampling: GREEDY,
      ...PLAIN_REQUEST,
    });
  });
  while (core.hasWork) {
    for (const output of (await core.step()) ?? []) texts.get(output.id)?.push(...output.tokenIds);
  }
  return [...texts.values()];
}

describe('octavo-tiny against PyTorch', () => {
  let engine: LoadedEngine;
  beforeAll(async () => {
    engine = await loadTiny({ enablePrefixCaching: false });
  });
  afterAll(() => engine.runner.dispose());

  it('has goldens of 5 to 1,500 tokens', () => {
    const lengths = goldens.map(({ prompt }) => prompt.length);
    expect(goldens.length).toBeGreaterThanOrEqual(50);
    expect(Math.min(...lengths)).toBe(5);
    expect(Math.max(...lengths)).toBe(1500);
  });

  it('says the same tokens, each prompt alone', async () => {
    for (const golden of goldens) {
      expect(await generate(engine, [golden])).toEqual([golden.tokens]);
    }
  });

  it('says the same tokens in batches of mixed lengths', async () => {
    expect(await generate(engine, goldens)).toEqual(goldens.map(({ tokens }) => tokens));
  });

  it('says the same tokens with prefix caching, chunked and preempted', async () => {
    // 129 blocks hold one request of 2,048 tokens: with prompts of up to 1,500 tokens there is
    // never room for all.
    const tight = await loadTiny({
      enablePrefixCaching: true,
      maxNumBatchedTokens: 100,
      kvCacheBytes: 129 * 16 * 2 * 5 * 2 * 32 * 4,
    });
    try {
      expect(await generate(tight, goldens)).toEqual(goldens.map(({ tokens }) => tokens));
      expect(tight.core.stats.preemptions).toBeGreaterThan(0);
      // Once more, now with what is left in the cache.
      const some = goldens.slice(-12);
      expect(await generate(tight, some)).toEqual(some.map(({ tokens }) => tokens));
      tight.scheduler.checkIntegrity();
    } finally {
      await tight.runner.dispose();
    }
  });

  it('has the same logits to 1e-3', async () => {
    const logits = readLogits();
    const { vocabSize } = engine.info;
    expect(logits.length).toBe(goldens.length * vocabSize);
    for (const [row, golden] of goldens.entries()) {
      const expected = logits.subarray(row * vocabSize, (row + 1) * vocabSize);
      const actual = await logitsAfter(engine, golden.prompt);
      let worst = 0;
      expected.forEach((x, i) => {
        worst = Math.max(worst, Math.abs(x - actual[i]));
      });
      // What PyTorch said may be half a step away.
      expect(worst).toBeLessThan(1e-3 - STEP / 2);
    }
  });
});

/** Logits of a prompt's last position, as the engine's runner computes them in chunks. */
async function logitsAfter(
  { runner, scheduler, cache, info }: LoadedEngine,
  prompt: readonly TokenId[],
) {
  let logits: Float32Array = new Float32Array(0);
  const core = new EngineCore({
    scheduler,
    runner: {
      execute: async (plan, query) => {
        const answer = await runner.execute(plan, { ...query, ...fullRowsOf(plan) });
        if (answer.fullLogits.length > 0) logits = answer.fullLogits;
        return answer;
      },
      canCopyBlocks: runner.canCopyBlocks,
      timings: runner.timings,
      dispose: () => Promise.resolve(),
    },
    vocabSize: info.vocabSize,
    cache,
    now: () => 0,
  });
  core.add({
    ids: ['logits' as SequenceId],
    promptTokenIds: prompt,
    maxTokens: 1,
    stopTokenIds: [],
    sampling: GREEDY,
    ...PLAIN_REQUEST,
  });
  while (core.hasWork) await core.step();
  return logits;
}
