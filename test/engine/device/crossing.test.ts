import { InferenceSession, type Tensor } from 'onnxruntime-node';
import { describe, expect, it, vi } from 'vitest';
import { goldenPrompts, loadTiny, runAll, tinyRequest } from '../../support/octavo-tiny.js';
import { DEVICE_TIMEOUT_MS, hasWebGpu } from '../../support/webgpu.js';

const SEQUENCES = 32;

/** Bytes of tensors in the host's memory, and the number of those that are not there. */
function whereAre(tensors: Readonly<Record<string, unknown>>): {
  hostBytes: number;
  onDevice: number;
} {
  const sum = { hostBytes: 0, onDevice: 0 };
  for (const tensor of Object.values(tensors) as Tensor[]) {
    if (tensor.location === 'gpu-buffer') sum.onDevice += 1;
    else sum.hostBytes += ArrayBuffer.isView(tensor.data) ? tensor.data.byteLength : 0;
  }
  return sum;
}

describe.skipIf(!(await hasWebGpu()))('a step on a device', { timeout: DEVICE_TIMEOUT_MS }, () => {
  it('brings no key or value to the host, and less than 100 kB of all else', async () => {
    const create = vi.spyOn(InferenceSession, 'create');
    const engine = await loadTiny({
      device: 'webgpu',
      blockSize: 32,
      maxNumSeqs: SEQUENCES,
      maxModelLength: 128,
      kvCacheBytes: 2 ** 22,
    });
    const sessions = await Promise.all(
      create.mock.results.map(({ value }) => value as Promise<InferenceSession>),
    );
    create.mockRestore();
    try {
      const session = sessions.find(({ inputNames }) => inputNames.includes('input_ids'));
      if (!session) throw new Error('no session of a decoder');
      const run = vi.spyOn(session, 'run');
      const prompts = goldenPrompts().filter(({ length }) => length <= 17);
      const requests = Array.from({ length: SEQUENCES }, (_, i) =>
        tinyRequest(`r${i}`, prompts[i % prompts.length], { maxTokens: 3 }),
      );
      await runAll(engine, requests);
      expect(run.mock.calls.length).toBeGreaterThanOrEqual(3);
      for (const [step, [feeds]] of run.mock.calls.entries()) {
        const fed = whereAre(feeds);
        const got = whereAre(
          await (run.mock.results[step].value as Promise<Record<string, unknown>>),
        );
        // Keys and values of 5 layers go in as they lie on the device; nothing of them comes out.
        expect(fed.onDevice).toBe(10);
        expect(got.onDevice).toBe(0);
        expect(fed.hostBytes + got.hostBytes).toBeLessThan(100_000);
      }
    } finally {
      await engine.runner.dispose();
    }
  });
});
