import { describe, expect, it } from 'vitest';
import type { OnnxBuilder } from '../../../bench/models/onnx-builder.js';
import { CHECK_BLOCKS } from '../../../engine/device/check-device-rows.js';
import { DeviceRunner } from '../../../engine/device/device-runner.js';
import { PagedSession } from '../../../engine/device/paged-session.js';
import { modelDir } from '../../support/model-dir.js';
import { ALL_RIGHT, pagedDecoder } from '../../support/paged-decoder.js';
import { TINY, tinyDecoder } from '../../support/tiny-decoder.js';
import { DEVICE_TIMEOUT_MS, hasWebGpu } from '../../support/webgpu.js';

async function load(b: OnnxBuilder): Promise<void> {
  const dir = modelDir({ 'model.onnx': b.bytes() });
  const model = await pagedDecoder(dir, ALL_RIGHT, 128);
  const { kvHeads: numKvHeads, headSize } = TINY;
  const slots = model.sites.map(() => ({ numKvHeads, headSize }));
  const shape = { slots, numBlocks: CHECK_BLOCKS, blockSize: 32 };
  const form = { provider: 'webgpu', cache: 'tensors' } as const;
  const session = await PagedSession.open(model.whole, shape, form);
  const runner = await DeviceRunner.create(model, session);
  await runner.dispose();
}

describe.skipIf(!(await hasWebGpu()))(
  'tokens of different sequences on a device',
  { timeout: DEVICE_TIMEOUT_MS },
  () => {
    it('do not mix in a decoder', async () => {
      await expect(load(tinyDecoder())).resolves.toBeUndefined();
    });

    it('mix where a graph takes a mean over all tokens, which is refused', async () => {
      const b = tinyDecoder();
      const q = b.nodes.find(({ name }) => name === 'l1/q');
      if (!q) throw new Error('no node l1/q');
      const axes = b.int64('mean/axes', [1]);
      const mean = b.node('ReduceMean', 'mean', [q.input[0], axes], {
        attributes: { keepdims: 1 },
      });
      q.input[0] = b.node('Sub', 'mean/without', [q.input[0], mean]);
      await expect(load(b)).rejects.toThrow(/logits of a token change with the other sequences/);
    });
  },
);
