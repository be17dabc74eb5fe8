/**
 * The pages of all blocks, in all layers. Attention computes on them; cache tiers copy blocks out
 * of and into them. All calls must come from one thread, between two steps.
 */
export interface BlockStore {
  /** Bytes of one block's pages and scales over all layers. */
  readonly bytesPerBlock: number;
  /** Copies all pages of block `from` to block `to`. */
  copy(from: number, to: number): void;
  /**
   * @param into `[bytesPerBlock]` or shorter: gets as many of the block's bytes
   * @param offset of the first one, in bytes; default 0
   */
  read(block: number, into: Uint8Array, offset?: number): void;
  /**
   * @param from `[bytesPerBlock]`, as `read` returns it for the same layout; or shorter: the other
   *   bytes stay as they are
   * @param offset of the first one, in bytes; default 0
   */
  write(block: number, from: Uint8Array, offset?: number): void;
}

/** A store in which each block consists of several ranges of bytes. */
export abstract class PartedBlockStore implements BlockStore {
  abstract readonly bytesPerBlock: number;

  copy(from: number, to: number): void {
    const source = this.parts(from);
    for (const [i, part] of this.parts(to).entries()) part.set(source[i]);
  }

  read(block: number, into: Uint8Array, offset = 0): void {
    let at = -offset;
    for (const part of this.parts(block)) {
      if (at >= into.length) return;
      const end = at + part.byteLength;
      if (end > 0) {
        const skipped = Math.max(0, -at);
        into.set(part.subarray(skipped, Math.max(skipped, into.length - at)), at + skipped);
      }
      at = end;
    }
  }

  write(block: number, from: Uint8Array, offset = 0): void {
    let at = -offset;
    for (const part of this.parts(block)) {
      if (at >= from.length) return;
      const end = at + part.byteLength;
      if (end > 0) part.set(from.subarray(Math.max(0, at), end), Math.max(0, -at));
      at = end;
    }
  }

  /** The ranges of a block's pages, always in the same order. */
  protected abstract parts(block: number): Uint8Array[];
}
