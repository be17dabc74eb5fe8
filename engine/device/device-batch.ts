import { Tensor } from 'onnxruntime-node';
import { NO_BLOCK } from '../../kvcache/ids.js';
import type { AttentionBatch, BlockTables } from '../attention/paged-attention.js';
import { DEVICE_INPUT as IN } from '../importer/emit/device-inputs.js';

/** What a batch must fit. */
export interface CacheBounds {
  readonly numBlocks: number;
  /** Tokens per block. */
  readonly blockSize: number;
  /** Most tokens of a sequence. */
  readonly maxLength: number;
}

/**
 * The ragged batch as tensors for PagedAttention. Block tables become rectangles, of which only the
 * part is read that a sequence's length covers.
 *
 * The kernel checks neither block ids nor lengths, and would write other memory, so that everything
 * is checked here.
 *
 * @throws Error for a table or length outside the cache
 */
export function batchTensors(batch: AttentionBatch, bounds: CacheBounds): Map<string, Tensor> {
  const { numSequences, queryStarts, contextLengths, blockTables } = batch;
  const past = new Int32Array(numSequences);
  let [mostNew, longest] = [0, 0];
  for (let s = 0; s < numSequences; s++) {
    const length = queryStarts[s + 1] - queryStarts[s];
    past[s] = contextLengths[s] - length;
    if (length < 1 || past[s] < 0 || contextLengths[s] > bounds.maxLength) {
      throw new Error(
        `sequence ${s} of a step has ${length} new tokens of ${contextLengths[s]}, at most ${bounds.maxLength}`,
      );
    }
    mostNew = Math.max(mostNew, length);
    longest = Math.max(longest, contextLengths[s]);
  }
  const ints = (values: Int32Array, dims = [values.length]): Tensor =>
    new Tensor('int32', values, dims);
  const columns = Math.ceil(longest / bounds.blockSize);
  const tensors = new Map<string, Tensor>([
    [IN.queryStarts, ints(queryStarts)],
    [IN.pastLengths, ints(past)],
    [IN.batchSizes, ints(Int32Array.of(mostNew, longest))],
  ]);
  for (const [group, tables] of blockTables.entries()) {
    const table = rectangle(tables, batch, columns, bounds);
    tensors.set(IN.blockTable(group), ints(table, [numSequences, columns]));
  }
  return tensors;
}

/** `[numSequences, columns]`, filled up with block 0, which is never read there. */
function rectangle(
  { starts, blocks }: BlockTables,
  { numSequences, contextLengths }: AttentionBatch,
  columns: number,
  { numBlocks, blockSize }: CacheBounds,
): Int32Array {
  const table = new Int32Array(numSequences * columns);
  for (let s = 0; s < numSequences; s++) {
    const needed = Math.ceil(contextLengths[s] / blockSize);
    if (starts[s + 1] - starts[s] < needed) {
      throw new Error(`sequence ${s} of a step has too few blocks for its ${needed}`);
    }
    for (let i = 0; i < needed; i++) {
      const block = blocks[starts[s] + i];
      // Released behind a sliding window.
      if (block === NO_BLOCK) continue;
      if (!(block >= 0 && block < numBlocks)) {
        throw new Error(`sequence ${s} of a step has block ${block} of ${numBlocks}`);
      }
      table[s * columns + i] = block;
    }
  }
  return table;
}
