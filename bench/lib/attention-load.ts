import { KernelAttention } from '../../engine/attention/kernel-attention.js';
import {
  type AttentionBatch,
  type AttentionShape,
  ELEMENT_BYTES,
  joinTables,
  type KvDtype,
  scaleBytes,
} from '../../engine/attention/paged-attention.js';

export const LAYERS = 24;

/** Attention of Qwen2.5-0.5B. */
export const QWEN_ATTENTION: AttentionShape = {
  numHeads: 14,
  numKvHeads: 2,
  headSize: 64,
  scale: 0.125,
  softcap: 0,
  slidingWindow: 0,
  sinks: null,
  alibiSlopes: null,
  rotary: null,
};

const BLOCK_SIZE = 16;

export interface Load {
  readonly kvDtype: KvDtype;
  readonly batch: number;
  readonly context: number;
  /** Tokens of each sequence in the step: 1 is a decode. */
  readonly queries: number;
  readonly threads: number;
}

/** Operations and bytes of K and V of one step over all layers. */
export function workOf({ kvDtype, batch, context, queries }: Load): {
  flops: number;
  bytes: number;
} {
  const { numHeads, numKvHeads, headSize } = QWEN_ATTENTION;
  const pairs = batch * (queries * context - (queries * (queries - 1)) / 2);
  return {
    flops: LAYERS * pairs * numHeads * headSize * 4,
    bytes:
      LAYERS *
      batch *
      context *
      numKvHeads *
      2 *
      (headSize * ELEMENT_BYTES[kvDtype] + scaleBytes(kvDtype)),
  };
}

/** Milliseconds of each of `repeats` steps, after some to warm up. */
export async function timeSteps(load: Load, repeats: number): Promise<number[]> {
  const blocks = Math.ceil(load.context / BLOCK_SIZE);
  const attention = new KernelAttention({
    layers: Array.from({ length: LAYERS }, () => QWEN_ATTENTION),
    numBlocks: load.batch * blocks,
    blockSize: BLOCK_SIZE,
    kvDtype: load.kvDtype,
    threads: load.threads,
  });
  try {
    const step = makeStep(load, blocks);
    fillPages(attention);
    for (let i = 0; i < 3; i++) step(attention);
    return Array.from({ length: repeats }, () => {
      const start = performance.now();
      step(attention);
      return performance.now() - start;
    });
  } finally {
    await attention.dispose();
  }
}

function makeStep(load: Load, blocks: number): (attention: KernelAttention) => void {
  const { numHeads, numKvHeads, headSize } = QWEN_ATTENTION;
  const tokens = load.batch * load.queries;
  const batch: AttentionBatch = {
    numSequences: load.batch,
    queryStarts: Int32Array.from({ length: load.batch + 1 }, (_, i) => i * load.queries),
    contextLengths: new Int32Array(load.batch).fill(load.context),
    blockTables: [
      joinTables(
        Array.from({ length: load.batch }, (_, s) =>
          Array.from({ length: blocks }, (__, i) => s * blocks + i),
        ),
      ),
    ],
  };
  const random = (length: number): Float32Array =>
    Float32Array.from({ length }, () => Math.random() - 0.5);
  const query = random(tokens * numHeads * headSize);
  const key = random(tokens * numKvHeads * headSize);
  const value = random(tokens * numKvHeads * headSize);
  const output = new Float32Array(query.length);
  return (attention) => {
    attention.beginStep(batch);
    for (let layer = 0; layer < LAYERS; layer++) {
      attention.store(layer, key, value);
      attention.attend(layer, query, output);
    }
  };
}

/**
 * Real numbers everywhere, and every page of the system committed: zero pages would all be one in
 * the cache.
 */
function fillPages(attention: KernelAttention): void {
  for (const memory of attention.pages.memories) {
    for (const { start, bytes } of memory.regions()) {
      const words = memory.arena.ints(start, bytes / 4);
      // 0x3c003c00 is a small number in each of the formats.
      for (let i = 0; i < words.length; i++) words[i] = 0x3c003c00 + (i & 0xff);
    }
  }
}
