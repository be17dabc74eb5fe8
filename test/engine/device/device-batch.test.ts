import type { Tensor } from 'onnxruntime-node';
import { expect, it } from 'vitest';
import { joinTables } from '../../../engine/attention/paged-attention.js';
import { batchTensors } from '../../../engine/device/device-batch.js';
import { NO_BLOCK } from '../../../kvcache/ids.js';

const BOUNDS = { numBlocks: 10, blockSize: 32, maxLength: 128 };

/** Sequences of `past` tokens in the cache and `new` ones. */
function batch(
  sequences: readonly { readonly past: number; readonly new: number; readonly table: number[] }[],
): Map<string, Tensor> {
  const starts = [0];
  for (const sequence of sequences) starts.push(starts[starts.length - 1] + sequence.new);
  return batchTensors(
    {
      numSequences: sequences.length,
      queryStarts: Int32Array.from(starts),
      contextLengths: Int32Array.from(sequences, (s) => s.past + s.new),
      blockTables: [joinTables(sequences.map(({ table }) => table))],
    },
    BOUNDS,
  );
}

const ints = (tensor: Tensor | undefined): number[] =>
  Array.from((tensor as Tensor).data as Int32Array);

it('describes a ragged batch as PagedAttention takes it', () => {
  const tensors = batch([
    { past: 40, new: 1, table: [7, 3, 9] },
    { past: 0, new: 65, table: [2, 4, 6, 8] },
    { past: 64, new: 3, table: [NO_BLOCK, 5, 1] },
  ]);
  expect(ints(tensors.get('octavo.query_starts'))).toEqual([0, 1, 66, 69]);
  expect(ints(tensors.get('octavo.past_lengths'))).toEqual([40, 0, 64]);
  expect(ints(tensors.get('octavo.batch_sizes'))).toEqual([65, 67]);
  // Only what the lengths cover; behind a window and after the end stands a block that exists.
  expect(ints(tensors.get('octavo.block_table.0'))).toEqual([7, 3, 0, 2, 4, 6, 0, 5, 1]);
  expect(tensors.get('octavo.block_table.0')?.dims).toEqual([3, 3]);
});

it.each([
  ['a block beyond the cache', { past: 0, new: 33, table: [0, 10] }, /has block 10 of 10/],
  ['a block to be loaded', { past: 0, new: 1, table: [-2] }, /has block -2 of 10/],
  ['too few blocks', { past: 32, new: 1, table: [3] }, /too few blocks for its 2/],
  ['no token', { past: 5, new: 0, table: [3] }, /has 0 new tokens/],
  [
    'more tokens than the model takes',
    { past: 128, new: 1, table: [1, 2, 3, 4, 5] },
    /at most 128/,
  ],
])('refuses %s, which kernels would not', (_, sequence, message) => {
  expect(() => batch([sequence])).toThrow(message);
});
