/**
 * The pages of all blocks, in all layers. Attention computes on them; cache tiers copy blocks out
 * of and into them. All calls must come from one thread, between two steps.
 */
export interface BlockStore {
  /** Bytes of one block's pages and scales over all layers. */
  readonly bytesPerBlock: number;
  /** Copies all pages of block `from` to block `to`. */
  copy(from: number, to: number): void;
  /** @param into `[bytesPerBlock]` or shorter: gets as many of the block's first bytes */
  read(block: number, into: Uint8Array): void;
  /**
   * @param from `[bytesPerBlock]`, as `read` returns it for the same layout; or shorter: the bytes
   *   after it stay as they are
   */
  write(block: number, from: Uint8Array): void;
}

/** A store in which each block consists of several ranges of bytes. */
export abstract class PartedBlockStore implements BlockStore {
  abstract readonly bytesPerBlock: number;

  copy(from: number, to: number): void {
    const source = this.parts(from);
    for (const [i, part] of this.parts(to).entries()) part.set(source[i]);
  }

  read(block: number, into: Uint8Array): void {
    let at = 0;
    for (const part of this.parts(block)) {
      if (at >= into.length) return;
      into.set(part.subarray(0, into.length - at), at);
      at += part.byteLength;
    }
  }

  write(block: number, from: Uint8Array): void {
    let at = 0;
    for (const part of this.parts(block)) {
      part.set(from.subarray(at, at + part.byteLength));
      at += part.byteLength;
    }
  }

  /** The ranges of a block's pages, always in the same order. */
  protected abstract parts(block: number): Uint8Array[];
}
