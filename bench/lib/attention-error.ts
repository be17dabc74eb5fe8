import { KernelAttention } from '../../engine/attention/kernel-attention.js';
import {
  joinTables,
  type KvDtype,
  type PagedAttention,
} from '../../engine/attention/paged-attention.js';
import { ReferenceAttention } from '../../engine/attention/reference-attention.js';
import { uniform } from '../../engine/sampling/random.js';
import { QWEN_ATTENTION } from './attention-load.js';

const TOKENS = 256;
const BLOCK_SIZE = 16;
const { numHeads, numKvHeads, headSize } = QWEN_ATTENTION;

/** `[TOKENS, heads * headSize]` numbers in [-1, 1). */
function random(heads: number, seed: number): Float32Array {
  return Float32Array.from(
    { length: TOKENS * heads * headSize },
    (_, i) => 2 * uniform(seed, i) - 1,
  );
}

const query = random(numHeads, 1);
const key = random(numKvHeads, 2);
const value = random(numKvHeads, 3);

/** The outputs of one prompt. */
function outputsOf(attention: PagedAttention): Float32Array {
  const blocks = TOKENS / BLOCK_SIZE;
  attention.beginStep({
    numSequences: 1,
    queryStarts: Int32Array.of(0, TOKENS),
    contextLengths: Int32Array.of(TOKENS),
    blockTables: [joinTables([Array.from({ length: blocks }, (_, i) => i)])],
  });
  const output = new Float32Array(query.length);
  attention.store(0, key, value);
  attention.attend(0, query, output);
  return output;
}

export interface OutputError {
  /** Root mean square of the differences, and of the outputs themselves. */
  readonly rms: number;
  readonly size: number;
  readonly largest: number;
}

/**
 * How far the kernel's outputs with these pages are from attention in float64 over float32 pages.
 */
export async function outputError(kvDtype: KvDtype): Promise<OutputError> {
  const config = {
    layers: [QWEN_ATTENTION],
    numBlocks: TOKENS / BLOCK_SIZE,
    blockSize: BLOCK_SIZE,
    threads: 1,
  };
  const exact = outputsOf(new ReferenceAttention({ ...config, kvDtype: 'f32' }));
  const kernel = new KernelAttention({ ...config, kvDtype });
  const differences = outputsOf(kernel).map((x, i) => x - exact[i]);
  await kernel.dispose();
  const rms = (x: Float32Array): number =>
    Math.sqrt(x.reduce((sum, y) => sum + y * y, 0) / x.length);
  return {
    rms: rms(differences),
    size: rms(exact),
    largest: differences.reduce((max, x) => Math.max(max, Math.abs(x)), 0),
  };
}
