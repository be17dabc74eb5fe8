import { InferenceSession, type Tensor } from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { LoadedEngine } from '../../../engine/thread/load-engine.js';
import type { TokenId } from '../../../scheduler/ids.js';
import { goldenPrompts, loadTiny, runAll, tinyRequest } from '../../support/octavo-tiny.js';
import { range } from '../../support/sequences.js';
import { DEVICE_TIMEOUT_MS, hasWebGpu } from '../../support/webgpu.js';

const SEQUENCES = 32;

/** Bytes of a block of the embedded model: 5 layers, K and V, 2 heads of 32 in float16. */
const BLOCK_BYTES = 5 * 2 * 2 * 32 * 2 * 32;

/** Bytes of tensors in the host's memory, and the number of those that are not there. */
interface Crossing {
  hostBytes: number;
  onDevice: number;
}

function whereAre(tensors: Readonly<Record<string, unknown>>): Crossing {
  const crossing = { hostBytes: 0, onDevice: 0 };
  for (const tensor of Object.values(tensors) as Tensor[]) {
    if (tensor.location === 'gpu-buffer') crossing.onDevice += 1;
    else crossing.hostBytes += ArrayBuffer.isView(tensor.data) ? tensor.data.byteLength : 0;
  }
  return crossing;
}

/** What a session was fed and gave, by call. */
type Calls = { readonly fed: Crossing; readonly got: Crossing }[];

function watch(sessions: readonly InferenceSession[]): Calls {
  const calls: Calls = [];
  for (const session of sessions) {
    const run = session.run.bind(session) as (...args: unknown[]) => ReturnType<typeof session.run>;
    vi.spyOn(session, 'run').mockImplementation(async (...args: unknown[]) => {
      const results = await run(...args);
      calls.push({ fed: whereAre(args[0] as Record<string, unknown>), got: whereAre(results) });
      return results;
    });
  }
  return calls;
}

const sum = (values: readonly number[]): number => values.reduce((total, x) => total + x, 0);

describe.skipIf(!(await hasWebGpu()))('a step on a device', { timeout: DEVICE_TIMEOUT_MS }, () => {
  let engine: LoadedEngine;
  /** Of the decoder, and of the graphs that read and write the cache's blocks. */
  let [decoder, reads, writes]: Calls[] = [];
  beforeAll(async () => {
    const create = vi.spyOn(InferenceSession, 'create');
    engine = await loadTiny({
      device: 'webgpu',
      blockSize: 32,
      maxNumSeqs: SEQUENCES,
      maxNumBatchedTokens: 128,
      maxModelLength: 128,
      kvCacheBytes: SEQUENCES * BLOCK_BYTES,
      tiers: { hostMemoryBytes: 100 * BLOCK_BYTES },
    });
    const created = create.mock.results.map(({ value }) => value as Promise<InferenceSession>);
    const sessions = await Promise.all(created);
    create.mockRestore();
    // (The caches of the self-test are among them, and are gone.)
    decoder = watch(sessions.filter(({ inputNames }) => inputNames.includes('input_ids')));
    reads = watch(sessions.filter(({ outputNames }) => outputNames.includes('blocks.0')));
    writes = watch(sessions.filter(({ inputNames }) => inputNames.includes('blocks.0')));
  }, DEVICE_TIMEOUT_MS);
  afterAll(async () => {
    await engine.tiers?.close();
    await engine.runner.dispose();
  });

  function expectFewBytes(): void {
    expect(decoder.length).toBeGreaterThanOrEqual(3);
    for (const { fed, got } of decoder) {
      // Keys and values of 5 layers go in as they lie on the device; nothing of them comes out.
      expect(fed.onDevice).toBe(10);
      expect(got.onDevice).toBe(0);
      expect(fed.hostBytes + got.hostBytes).toBeLessThan(100_000);
    }
  }

  it('brings no key or value to the host, and less than 100 kB of all else', async () => {
    const prompts = goldenPrompts().filter(({ length }) => length <= 17);
    const requests = Array.from({ length: SEQUENCES }, (_, i) =>
      tinyRequest(`r${i}`, prompts[i % prompts.length], { maxTokens: 3 }),
    );
    await runAll(engine, requests);
    expectFewBytes();
    expect([reads.length, writes.length]).toEqual([0, 0]);
  });

  it('copies for tiers only the blocks that it gives up or loads', async () => {
    const long = goldenPrompts().filter(({ length }) => length > 100);
    const ask = (round: string) =>
      runAll(
        engine,
        range(0, 12).map((i) =>
          tinyRequest(`${round}${i}`, [...long[i % 4].slice(0, 99), i as TokenId], {
            maxTokens: 3,
            cacheSalt: `${i}`,
          }),
        ),
      );
    for (const round of ['a', 'b']) await ask(round);
    expectFewBytes();
    const [memory] = engine.core.stats.tiers ?? [];
    expect(memory.loaded).toBeGreaterThan(3);
    const read = sum(reads.map(({ got }) => got.hostBytes));
    expect(read).toBe(memory.stored * BLOCK_BYTES);
    // With the blocks go their numbers.
    const written = sum(writes.map(({ fed }) => fed.hostBytes));
    expect(written).toBe(memory.loaded * (BLOCK_BYTES + 8));
    for (const { fed } of [...reads, ...writes]) expect(fed.onDevice).toBe(10);
    expect(reads.length + writes.length).toBeLessThan(decoder.length);
  });
});
