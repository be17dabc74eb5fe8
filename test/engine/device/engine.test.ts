import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EngineOptions } from '../../../engine/protocol/options.js';
import type { LoadedEngine } from '../../../engine/thread/load-engine.js';
import type { TokenId } from '../../../scheduler/ids.js';
import { goldenPrompts, loadTiny, runAll, tinyRequest } from '../../support/octavo-tiny.js';
import { expectSameTexts, type Texts } from '../../support/same-texts.js';
import { DEVICE_TIMEOUT_MS, hasWebGpu } from '../../support/webgpu.js';

const LENGTH = 24;
/** Of several blocks of 32 tokens. */
const PROMPTS = goldenPrompts().filter(({ length }) => length >= 33 && length <= 140);
/** Bytes of a block of the embedded model: 5 layers, K and V, 2 heads of 32 in float16. */
const BLOCK_BYTES = 5 * 2 * 2 * 32 * 2 * 32;

const requests = (prompts: readonly TokenId[][], n = 1) =>
  prompts.map((prompt) =>
    tinyRequest(
      Array.from({ length: n }, (_, choice) => `${PROMPTS.indexOf(prompt)}-${choice}`),
      prompt,
      { maxTokens: LENGTH, logprobs: 2 },
    ),
  );

const expectSame = (actual: Texts, expected: Texts): void =>
  expectSameTexts(actual, expected, LENGTH, (id) => id.replace(/-.*/, '-0'));

describe.skipIf(!(await hasWebGpu()))(
  'an engine on a device',
  { timeout: DEVICE_TIMEOUT_MS },
  () => {
    let expected: Texts;
    let device: LoadedEngine;
    const load = (options: Partial<EngineOptions>) =>
      loadTiny({ blockSize: 32, maxModelLength: 256, kvCacheBytes: 80 * BLOCK_BYTES, ...options });
    beforeAll(async () => {
      const cpu = await load({ kvCacheBytes: 2 ** 24 });
      expected = await runAll(cpu, requests(PROMPTS));
      await cpu.runner.dispose();
      device = await load({ device: 'webgpu', maxNumBatchedTokens: 48 });
    }, DEVICE_TIMEOUT_MS);
    afterAll(() => device.runner.dispose());

    it('states its device and the format of its cache', () => {
      expect(device.info).toMatchObject({ device: 'webgpu', kvDtype: 'f16', numBlocks: 80 });
    });

    it('writes what the CPU writes, of prompts in pieces beside others', async () => {
      expectSame(await runAll(device, requests(PROMPTS.slice(0, 6))), expected);
    });

    it('goes on from cached prefixes', async () => {
      const texts = await runAll(device, requests(PROMPTS.slice(0, 6)));
      const cached = [...texts.values()].map(([first]) => first.cachedTokens);
      expect(Math.min(...cached)).toBeGreaterThanOrEqual(32);
      expectSame(texts, expected);
    });

    it('forks sequences within a block', async () => {
      expectSame(await runAll(device, requests(PROMPTS.slice(6, 8), 3)), expected);
      device.scheduler.checkIntegrity();
    });

    it('forks without copies, where the cache is a part of the graph', async () => {
      const other = await load({ device: 'webgpu', deviceCache: 'initializers' });
      try {
        expect(other.runner.canCopyBlocks).toBe(false);
        expectSame(await runAll(other, requests(PROMPTS.slice(6, 8), 3)), expected);
        other.scheduler.checkIntegrity();
      } finally {
        await other.runner.dispose();
      }
    });

    it('goes on with preempted sequences', async () => {
      const small = await load({ device: 'webgpu', kvCacheBytes: 9 * BLOCK_BYTES });
      try {
        const texts = await runAll(small, requests(PROMPTS.slice(0, 6)));
        expect(small.core.stats.preemptions).toBeGreaterThan(0);
        expectSame(texts, expected);
      } finally {
        await small.runner.dispose();
      }
    });

    it.each([
      [{ blockSize: 16 }, /--block-size 16: a GPU takes blocks of 32, 64, 128 or 256 tokens/],
      [{ kvDtype: 'bf16' as const }, /--kv-dtype bf16: a GPU keeps its KV cache in f16/],
      [
        { quantize: { kind: 'w8a8' as const, nbits: false, cacheDir: '/nowhere' } },
        /--quantize w8a8: is for the CPU/,
      ],
      [
        { tiers: { hostMemoryBytes: 2 ** 20 }, deviceCache: 'initializers' as const },
        /--kv-host-memory, .*: the KV cache of this device can be neither read nor copied/,
      ],
      [{ kvCacheBytes: 3 * BLOCK_BYTES }, /--kv-cache-memory \d+ bytes holds 3 blocks of 32/],
    ])('refuses options that it does not take: %j', async (options, message) => {
      await expect(load({ device: 'webgpu', ...options })).rejects.toThrow(message);
    });
  },
);
