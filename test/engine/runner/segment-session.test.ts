import { type InferenceSession, Tensor } from 'onnxruntime-node';
import { expect, it } from 'vitest';
import { embeddedModelDir } from '../../../engine/environment/package-root.js';
import { freeBuffers } from '../../../engine/free-buffers.js';
import { STEP_INPUT } from '../../../engine/importer/imported-model.js';
import { openModel } from '../../../engine/model/open-model.js';
import { createSession } from '../../../engine/runner/segment-session.js';

const LAYERS = 24;
const TOKENS = 2048;
const MIB = 2 ** 20;

// Elsewhere, sessions keep arenas.
it.runIf(process.platform === 'linux')(
  'holds what a large step computes once, not once for each layer',
  async () => {
    const model = await openModel({ modelDir: embeddedModelDir() });
    const [{ numHeads, headSize }] = model.sites;
    // Of the residual stream as well.
    const width = numHeads * headSize;
    const [, middle] = model.segments;
    const rows = new Float32Array(TOKENS * width).fill(0.5);
    const positions = BigInt64Array.from({ length: TOKENS }, (_, token) => BigInt(token % 1024));
    const feeds = Object.fromEntries(
      middle.inputs.map((name) => [
        name,
        name === STEP_INPUT.positionIds
          ? new Tensor('int64', positions, [1, TOKENS])
          : new Tensor('float32', rows, [1, TOKENS, width]),
      ]),
    );
    const sessions: InferenceSession[] = [];
    const held: number[] = [];
    for (let layer = 0; layer < LAYERS; layer++) {
      const session = await createSession(middle, model, 1);
      sessions.push(session);
      const results = await session.run(feeds);
      // As the runner does: what is left is ONNX Runtime's own.
      freeBuffers(
        Object.values(results).map(({ data }) => (data as Float32Array<ArrayBuffer>).buffer),
      );
      held.push(process.memoryUsage.rss());
    }
    for (const session of sessions) await session.release();
    // With an arena for each session, a layer held 22 MiB: several tensors of 4 MiB. Its own
    // weights and threads take 2 to 4. (The first layers also pay for what is loaded once.)
    const growth = (held[LAYERS - 1] - held[3]) / (LAYERS - 4);
    expect(growth / MIB).toBeLessThan(10);
  },
);
