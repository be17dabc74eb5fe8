import type { BlockId } from '../../../kvcache/ids.js';
import type { StepPlan } from '../../../scheduler/step-plan.js';

/** The hidden row of a token, and its place in its block. */
interface PlacedRow {
  readonly place: number;
  readonly row: Float32Array;
}

/** Rows of a full block that are kept: with all of a prompt cached, its last token comes again. */
export const KEPT_ROWS = 2;

/**
 * The model's last hidden rows, by the blocks that hold their tokens: those that rows of the next
 * tokens are made of. By blocks, because forks and prefixes share these, whatever became of the
 * sequence that computed them. Of each block, two rows stay, and of those that a step may go on
 * from as many more as it has proposed tokens.
 *
 *     block     | t0  t1 ... t13  t14  t15 | t16  t17  p0  p1  p2 |
 *     kept                        t14  t15         t17 p0  p1  p2
 */
export class HiddenRows {
  readonly #width: number;
  readonly #blockSize: number;
  readonly #rows = new Map<BlockId, readonly PlacedRow[]>();

  constructor(width: number, blockSize: number) {
    this.#width = width;
    this.#blockSize = blockSize;
  }

  /**
   * Keeps what the next steps need of a step's rows.
   *
   * @param plan its tables are in group 0
   * @param hidden `[T, width]`
   * @returns `[T, width]`: the row of the token before each
   */
  advance({ sequences }: StepPlan, hidden: Float32Array): Float32Array {
    const before = new Float32Array(hidden.length);
    let at = 0;
    // In order: a sequence may go on behind a block that one before it has filled in this step.
    for (const { numComputed, numProposed, tokenIds, blockTables } of sequences) {
      const [table] = blockTables;
      const own = hidden.subarray(at, at + tokenIds.length * this.#width);
      // Behind what a tier has loaded, zeros have to do for one row.
      const carried = numComputed > 0 ? this.get(table, numComputed - 1) : undefined;
      if (carried) before.set(carried, at);
      before.set(own.subarray(0, own.length - this.#width), at + this.#width);
      this.put(table, numComputed, own, numProposed);
      at += own.length;
    }
    return before;
  }

  /** The row of a token; undefined where it is not kept. */
  get(table: readonly BlockId[], token: number): Float32Array | undefined {
    const place = token % this.#blockSize;
    const rows = this.#rows.get(table[Math.floor(token / this.#blockSize)]) ?? [];
    return rows.find((kept) => kept.place === place)?.row;
  }

  /**
   * Keeps what a later step may need of rows that were just computed.
   *
   * @param start number of the first one's token in its sequence
   * @param rows `[T, width]`
   * @param numProposed tokens at the end that may be rejected
   */
  put(table: readonly BlockId[], start: number, rows: Float32Array, numProposed: number): void {
    const size = this.#blockSize;
    const end = start + rows.length / this.#width;
    const uncertain = end - numProposed - KEPT_ROWS;
    for (let index = Math.floor(start / size); index * size < end; index++) {
      const from = Math.max(start, index * size);
      const to = Math.min(end, (index + 1) * size);
      const atEnd = (index + 1) * size - KEPT_ROWS;
      const kept = this.#before(table[index], from - index * size);
      for (let token = from; token < to; token++) {
        if (token < uncertain && token < atEnd) continue;
        const at = (token - start) * this.#width;
        kept.push({ place: token - index * size, row: rows.slice(at, at + this.#width) });
      }
      this.#rows.set(table[index], kept);
    }
    const left = Math.floor(start / size) - 1;
    if (left >= 0) this.#shorten(table[left]);
  }

  copy(from: BlockId, to: BlockId): void {
    const rows = this.#rows.get(from);
    if (rows) this.#rows.set(to, rows);
    else this.#rows.delete(to);
  }

  forget(block: BlockId): void {
    this.#rows.delete(block);
  }

  clear(): void {
    this.#rows.clear();
  }

  /** Number of rows. */
  get size(): number {
    return [...this.#rows.values()].reduce((sum, rows) => sum + rows.length, 0);
  }

  /** What stays of a block that is written from `place` on: rows of the tokens just before. */
  #before(block: BlockId, place: number): PlacedRow[] {
    if (place === 0) return [];
    const rows = this.#rows.get(block) ?? [];
    return rows.filter((kept) => kept.place < place && kept.place >= place - KEPT_ROWS);
  }

  /** No step goes back to a block that the sequence has left. */
  #shorten(block: BlockId): void {
    const rows = this.#rows.get(block);
    if (rows && rows.length > KEPT_ROWS) this.#rows.set(block, rows.slice(-KEPT_ROWS));
  }
}
