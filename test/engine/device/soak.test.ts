import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RandomStream } from '../../../bench/serve/random-stream.js';
import type { SequenceOutput } from '../../../engine/protocol/outputs.js';
import type { LoadedEngine } from '../../../engine/thread/load-engine.js';
import type { SequenceId } from '../../../scheduler/ids.js';
import { goldenPrompts, loadTiny, runAll, tinyRequest } from '../../support/octavo-tiny.js';
import { expectSameTexts, type Texts } from '../../support/same-texts.js';
import { DEVICE_TIMEOUT_MS, hasWebGpu } from '../../support/webgpu.js';

const LENGTH = 8;
const BLOCK_BYTES = 5 * 2 * 2 * 32 * 2 * 32;
/** Between two of them all requests have ended, and memory is measured. */
const WINDOWS = 3;
const REQUESTS = 14;
/** What V8 and the allocators of the process may keep for later. */
const HEAP_NOISE = 4 * 2 ** 20;
const PROCESS_NOISE = 64 * 2 ** 20;

const PROMPTS = goldenPrompts()
  .filter(({ length }) => length > 30)
  .slice(0, 6)
  .map((prompt, i) => prompt.slice(0, 40 + 16 * i));
/** Requests are named by their prompt first. */
const promptOf = (id: string): string => id.replace(/-.*/, '');

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

describe.skipIf(!(await hasWebGpu()))('a mixed load', { timeout: DEVICE_TIMEOUT_MS }, () => {
  let engine: LoadedEngine;
  let alone: Texts;
  beforeAll(async () => {
    // Small, so that requests also wait, share, evict, load and are preempted.
    engine = await loadTiny({
      device: 'webgpu',
      blockSize: 32,
      maxNumSeqs: 8,
      maxNumBatchedTokens: 64,
      maxModelLength: 160,
      kvCacheBytes: 10 * BLOCK_BYTES,
      tiers: { hostMemoryBytes: 20 * BLOCK_BYTES },
    });
    const requests = PROMPTS.map((prompt, i) =>
      tinyRequest(`${i}`, prompt, { maxTokens: LENGTH, logprobs: 2 }),
    );
    const texts = new Map<string, SequenceOutput[]>();
    for (const request of requests) {
      for (const [id, outputs] of await runAll(engine, [request])) texts.set(id, outputs);
    }
    alone = texts;
  }, DEVICE_TIMEOUT_MS);
  afterAll(async () => {
    await engine.tiers?.close();
    await engine.runner.dispose();
  });

  it('on a device: every text as alone, and nothing left behind', async () => {
    const { core, scheduler, cache } = engine;
    const random = new RandomStream(11, 'prompt', 0);
    const upTo = (n: number): number => Math.floor(random.next() * n);
    const memory: { heap: number; rss: number }[] = [];
    let counted = 0;
    for (let window = 0; window < WINDOWS; window++) {
      const texts = new Map<string, SequenceOutput[]>();
      const aborted = new Set<string>();
      const paused = new Set<SequenceId>();
      const step = async (): Promise<void> => {
        for (const output of (await core.step()) ?? []) texts.get(output.id)?.push(output);
      };
      for (let n = 0; n < REQUESTS; n++) {
        const prompt = upTo(PROMPTS.length);
        const ids = Array.from({ length: 1 + upTo(2) }, (_, k) => `${prompt}-${window}.${n}.${k}`);
        const cacheSalt = upTo(3) === 0 ? `${upTo(2)}` : null;
        core.add(tinyRequest(ids, PROMPTS[prompt], { maxTokens: LENGTH, logprobs: 2, cacheSalt }));
        for (const id of ids) texts.set(id, []);
        const any = [...texts.keys()][upTo(texts.size)] as SequenceId;
        const misfortune = upTo(8);
        if (misfortune === 0 && core.abort(any)) aborted.add(any);
        if (misfortune === 1) {
          core.pause([any]);
          paused.add(any);
        }
        for (let s = upTo(6); s > 0; s--) await step();
        scheduler.checkIntegrity();
      }
      core.resume([...paused]);
      while (core.hasWork) await step();
      scheduler.checkIntegrity();
      expect(cache.pool.numUsed).toBe(0);
      for (const id of aborted) texts.delete(id);
      expectSameTexts(texts, alone, LENGTH, promptOf);
      counted += texts.size;
      collect();
      const { heapUsed, external, rss } = process.memoryUsage();
      memory.push({ heap: heapUsed + external, rss });
    }
    const [first, last] = [memory[0], memory[WINDOWS - 1]];
    expect(last.heap - first.heap).toBeLessThan(HEAP_NOISE);
    expect(last.rss - first.rss).toBeLessThan(PROCESS_NOISE);
    expect(counted).toBeGreaterThan((WINDOWS * REQUESTS) / 2);
    expect(core.stats.preemptions).toBeGreaterThan(0);
    expect(core.stats.tiers?.[0].loaded).toBeGreaterThan(0);
  });
});
