/**
 * Names under which a step on a device feeds the cache and the ragged batch, besides `STEP_INPUT`.
 * Slots and groups are those of the page layout (engine/attention/page-layout.ts).
 */
export const DEVICE_INPUT = {
  /** int32 `[B + 1]`: sequence `s` has the rows from entry `s` to entry `s + 1`, without it. */
  queryStarts: 'octavo.query_starts',
  /** int32 `[B]`: tokens in the cache before the step. */
  pastLengths: 'octavo.past_lengths',
  /**
   * int32 `[2]`: most new tokens of a sequence, and most tokens of one altogether. It stays in the
   * host's memory; without it, every layer would read the lengths back from the device.
   */
  batchSizes: 'octavo.batch_sizes',
  /** int32 `[B, blocks]` by cache group. */
  blockTable: (group: number): string => `octavo.block_table.${group}`,
  /** float16 `[numBlocks, blockSize, numKvHeads, headSize]` by slot; written in place. */
  keyCache: (slot: number): string => `octavo.key_cache.${slot}`,
  valueCache: (slot: number): string => `octavo.value_cache.${slot}`,
} as const;
