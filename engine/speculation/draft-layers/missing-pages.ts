import { type BlockId, NO_BLOCK } from '../../../kvcache/ids.js';
import type { PageRequest, PageSelector } from '../../attention/paged-attention.js';

/**
 * Blocks whose tokens layers that draft have not computed: a tier has brought the model's own keys
 * and values back, and no hidden rows. Drafts attend to all others, and so do they where a window
 * has moved on from a block.
 */
export class MissingPages implements PageSelector {
  readonly #missing = new Set<number>();

  add(block: BlockId): void {
    this.#missing.add(block);
  }

  /** Called for a block that is computed from its first token on. */
  delete(block: BlockId): void {
    this.#missing.delete(block);
  }

  copy(from: BlockId, to: BlockId): void {
    if (this.#missing.has(from)) this.#missing.add(to);
    else this.#missing.delete(to);
  }

  select({ tables: { blocks } }: PageRequest): Uint8Array | null {
    const isThere = (block: number): boolean => block !== NO_BLOCK && !this.#missing.has(block);
    return blocks.every(isThere)
      ? null
      : Uint8Array.from(blocks, (block) => Number(isThere(block)));
  }
}
