import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { AttentionLayer, RotaryEmbedding } from '../../../engine/attention/paged-attention.js';
import { DeviceCache } from '../../../engine/device/device-cache.js';
import { testDevice } from '../../../engine/device/self-test.js';
import { plainLayer } from '../../support/attention-cases.js';
import { DEVICE_TIMEOUT_MS, hasWebGpu } from '../../support/webgpu.js';

function rotary(dim: number, interleaved: boolean): RotaryEmbedding {
  const table = (f: (x: number) => number): Float32Array =>
    Float32Array.from({ length: 100 * (dim / 2) }, (_, i) =>
      f(Math.floor(i / (dim / 2)) / 100 ** ((i % (dim / 2)) / (dim / 2))),
    );
  return { dim, interleaved, cos: table(Math.cos), sin: table(Math.sin) };
}

const layer = (headSize: number, more: Partial<AttentionLayer> = {}): AttentionLayer =>
  plainLayer(headSize, { numHeads: 4, numKvHeads: 2, scale: 1 / Math.sqrt(headSize), ...more });

const LAYERS: Readonly<Record<string, AttentionLayer>> = {
  'heads of 16': layer(16),
  'heads of 32, a scale of its own': layer(32, { scale: 0.4 }),
  'one head of keys': layer(16, { numKvHeads: 1 }),
  'rotation in the node': layer(16, { rotary: rotary(16, false) }),
  'rotation in the node, interleaved': layer(16, { rotary: rotary(16, true) }),
  'rotation of a part, before the node': layer(16, { rotary: rotary(8, false) }),
};

describe.skipIf(!(await hasWebGpu()))(
  'attention on a device',
  { timeout: DEVICE_TIMEOUT_MS },
  () => {
    it.each(Object.entries(LAYERS))('equals the reference: %s', async (_, tested) => {
      expect(await testDevice([tested], 32)).toEqual({ plain: null, windows: null, sinks: null });
    });

    it('says what differs, by how much and where', async () => {
      // Wrong on purpose: keys are stored where values belong.
      const values = vi.spyOn(DeviceCache.prototype, 'values');
      values.mockImplementation(function (this: DeviceCache, slot) {
        return this.keys(slot);
      });
      onTestFinished(() => values.mockRestore());
      const { plain } = await testDevice([layer(16)], 32);
      expect(plain).toMatch(/^it differs from the reference by \d\.\d+ in a step of prompts$/);
    });
  },
);
