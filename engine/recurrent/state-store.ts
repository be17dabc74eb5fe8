import type { BlockStore } from '../attention/block-store.js';
import { OctavoError } from '../errors.js';
import type { StateLayout } from './state-layout.js';

/**
 * Blocks that hold pages of K and V, or a piece of a checkpoint. A piece lies over the pages of its
 * block, and continues in memory of the store's own where it is larger than they are.
 */
export class StateStore implements BlockStore {
  readonly bytesPerBlock: number;
  readonly #pages: BlockStore | null;
  readonly #layout: StateLayout;
  /** Bytes of a block that lie over its pages. */
  readonly #pageBytes: number;
  /** What lies behind the pages of blocks, in few arrays. */
  readonly #rest: Rest;

  /**
   * @param pages stays its owner's; null for a model without attention
   * @throws OctavoError `system_limit` when the system does not give the memory
   */
  constructor(pages: BlockStore | null, layout: StateLayout, numBlocks: number) {
    this.bytesPerBlock = layout.bytesPerBlock;
    this.#pages = pages;
    this.#layout = layout;
    this.#pageBytes = pages?.bytesPerBlock ?? 0;
    this.#rest = new Rest(numBlocks, layout.bytesPerBlock - this.#pageBytes);
  }

  copy(from: number, to: number): void {
    this.#pages?.copy(from, to);
    this.#rest.of(to).set(this.#rest.of(from));
  }

  read(block: number, into: Uint8Array, offset = 0): void {
    const inPages = Math.min(into.length, Math.max(0, this.#pageBytes - offset));
    if (inPages > 0) this.#pages?.read(block, into.subarray(0, inPages), offset);
    if (inPages === into.length) return;
    const start = Math.max(0, offset - this.#pageBytes);
    into.set(this.#rest.of(block).subarray(start, start + into.length - inPages), inPages);
  }

  write(block: number, from: Uint8Array, offset = 0): void {
    const inPages = Math.min(from.length, Math.max(0, this.#pageBytes - offset));
    if (inPages > 0) this.#pages?.write(block, from.subarray(0, inPages), offset);
    if (inPages === from.length) return;
    this.#rest.of(block).set(from.subarray(inPages), Math.max(0, offset - this.#pageBytes));
  }

  /**
   * Reads a part of a sequence's checkpoint, such as the state of one layer.
   *
   * @param blocks `[group]`: the block with the checkpoint's piece in each of the layout's groups
   * @param offset of the part in the checkpoint, in bytes; layer `l` begins at `offsets[l]`
   * @param into written completely
   */
  readState(blocks: readonly number[], offset: number, into: Uint8Array): void {
    for (const piece of this.#pieces(offset, into)) {
      this.read(blocks[piece.group], piece.bytes, piece.start);
    }
  }

  /** Writes a part of a sequence's checkpoint; see `readState`. */
  writeState(blocks: readonly number[], offset: number, from: Uint8Array): void {
    for (const piece of this.#pieces(offset, from)) {
      this.write(blocks[piece.group], piece.bytes, piece.start);
    }
  }

  /** By group: the bytes of a part that its block holds, from `start` on. */
  *#pieces(
    offset: number,
    part: Uint8Array,
  ): Generator<{ readonly group: number; readonly bytes: Uint8Array; readonly start: number }> {
    const { groups, bytesPerCheckpoint } = this.#layout;
    const size = Math.ceil(bytesPerCheckpoint / groups.length);
    const end = offset + part.length;
    for (let at = offset; at < end; ) {
      const group = Math.floor(at / size);
      const next = Math.min(end, (group + 1) * size);
      yield { group, bytes: part.subarray(at - offset, next - offset), start: at - group * size };
      at = next;
    }
  }
}

/** Maximum bytes of one array: V8's typed arrays have a limit. */
const MAX_ARRAY_BYTES = 2 ** 30;

/** Some bytes of each block. The system commits memory when it is first touched. */
class Rest {
  readonly #bytes: number;
  readonly #blocksPerArray: number;
  readonly #arrays: readonly Uint8Array[];

  constructor(numBlocks: number, bytes: number) {
    this.#bytes = bytes;
    this.#blocksPerArray = Math.max(1, Math.floor(MAX_ARRAY_BYTES / Math.max(1, bytes)));
    const count = Math.ceil(numBlocks / this.#blocksPerArray);
    this.#arrays = Array.from({ length: count }, (_, index) => {
      const first = index * this.#blocksPerArray;
      return allocate(Math.min(this.#blocksPerArray, numBlocks - first) * bytes);
    });
  }

  of(block: number): Uint8Array {
    const start = (block % this.#blocksPerArray) * this.#bytes;
    const array = this.#arrays[Math.floor(block / this.#blocksPerArray)];
    return array.subarray(start, start + this.#bytes);
  }
}

function allocate(bytes: number): Uint8Array {
  try {
    return new Uint8Array(bytes);
  } catch (cause) {
    throw new OctavoError(
      'system_limit',
      'the system does not give the KV cache memory for the states of recurrent layers ' +
        '(ulimit -v, vm.overcommit_memory): lower --kv-cache-memory or raise the limit',
      { cause },
    );
  }
}
