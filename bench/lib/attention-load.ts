import { KernelAttention } from '../../engine/attention/kernel-attention.js';
import {
  type AttentionBatch,
  type AttentionShape,
  ELEMENT_BYTES,
  joinTables,
  type KvDtype,
  plainAttention,
  scaleBytes,
} from '../../engine/attention/paged-attention.js';

export const LAYERS = 24;

/** Attention of Qwen2.5-0.5B. */
export const QWEN_ATTENTION = plainAttention(14, 2, 64);

export const BLOCK_SIZE = 16;

export interface Load {
  readonly kvDtype: KvDtype;
  readonly batch: number;
  readonly context: number;
  /** Tokens of each sequence in the step: 1 is a decode. */
  readonly queries: number;
  readonly threads: number;
  /** Tokens at the beginning of the context that are the same blocks for all; none by default. */
  readonly shared?: number;
  /** False: each sequence reads the shared blocks by itself. */
  readonly sharesReads?: boolean;
  /** Qwen2.5-0.5B's by default, with all of its layers. */
  readonly shape?: AttentionShape;
  readonly layers?: number;
}

/** Operations and bytes of K and V of one step over all layers, each page read once. */
export function workOf({
  kvDtype,
  batch,
  context,
  queries,
  shared = 0,
  shape = QWEN_ATTENTION,
  layers = LAYERS,
}: Load): {
  flops: number;
  bytes: number;
} {
  const { numHeads, numKvHeads, headSize } = shape;
  const pairs = batch * (queries * context - (queries * (queries - 1)) / 2);
  const tokens = shared + batch * (context - shared);
  return {
    flops: layers * pairs * numHeads * headSize * 4,
    bytes:
      layers * tokens * numKvHeads * 2 * (headSize * ELEMENT_BYTES[kvDtype] + scaleBytes(kvDtype)),
  };
}

/** Milliseconds of each of `repeats` steps, after some to warm up. */
export async function timeSteps(load: Load, repeats: number): Promise<number[]> {
  const [times] = await timeInTurn([load], repeats);
  return times;
}

/** The same for several loads, a step of each in turn. */
export async function timeInTurn(loads: readonly Load[], repeats: number): Promise<number[][]> {
  const running = loads.map((load) => {
    const attention = createAttention(load);
    return { attention, step: makeStep(load) };
  });
  try {
    const times = running.map((): number[] => []);
    for (let i = -3; i < repeats; i++) {
      for (const [which, { attention, step }] of running.entries()) {
        const start = performance.now();
        step(attention);
        if (i >= 0) times[which].push(performance.now() - start);
      }
    }
    return times;
  } finally {
    for (const { attention } of running) await attention.dispose();
  }
}

function createAttention(load: Load): KernelAttention {
  const { shape = QWEN_ATTENTION, layers = LAYERS, kvDtype, threads, sharesReads = true } = load;
  const attention = new KernelAttention({
    layers: Array.from({ length: layers }, () => shape),
    numBlocks: tablesOf(load).numBlocks,
    blockSize: BLOCK_SIZE,
    kvDtype,
    threads,
    // Where there is a selector, sequences read their pages one by one, even if it selects all.
    ...(!sharesReads && { selector: { select: () => null } }),
  });
  fillPages(attention);
  return attention;
}

function tablesOf({ batch, context, shared = 0 }: Load): {
  tables: number[][];
  numBlocks: number;
} {
  const common = Math.floor(shared / BLOCK_SIZE);
  const own = Math.ceil(context / BLOCK_SIZE) - common;
  const tables = Array.from({ length: batch }, (_, s) =>
    Array.from({ length: common + own }, (__, i) => (i < common ? i : i + s * own)),
  );
  return { tables, numBlocks: common + batch * own };
}

/** The batch of a step of the load. */
export function batchOf(load: Load): AttentionBatch {
  return {
    numSequences: load.batch,
    queryStarts: Int32Array.from({ length: load.batch + 1 }, (_, i) => i * load.queries),
    contextLengths: new Int32Array(load.batch).fill(load.context),
    blockTables: [joinTables(tablesOf(load).tables)],
  };
}

function makeStep(load: Load): (attention: KernelAttention) => void {
  const { shape = QWEN_ATTENTION, layers = LAYERS } = load;
  const { numHeads, numKvHeads, headSize } = shape;
  const tokens = load.batch * load.queries;
  const random = (length: number): Float32Array =>
    Float32Array.from({ length }, () => Math.random() - 0.5);
  const query = random(tokens * numHeads * headSize);
  const key = random(tokens * numKvHeads * headSize);
  const value = random(tokens * numKvHeads * headSize);
  const output = new Float32Array(query.length);
  const batch = batchOf(load);
  return (attention) => {
    // A new object, as the engine has one: each step is planned.
    attention.beginStep({ ...batch });
    for (let layer = 0; layer < layers; layer++) {
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
