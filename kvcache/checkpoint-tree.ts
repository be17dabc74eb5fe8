import type { CacheGroup } from './cache-group.js';
import type { BlockHash } from './ids.js';

/** A block's content that lies before a checkpoint, or ends where one stands. */
interface Node {
  readonly hash: BlockHash;
  /** Null for the first block of a sequence. */
  readonly parent: Node | null;
  /** Blocks up to here. */
  readonly depth: number;
  /** Nodes right behind this one. */
  numChildren: number;
  isCheckpoint: boolean;
}

/** What a checkpoint lets skip, in blocks of a sequence. */
export interface CheckpointSpan {
  /** A prefix that ends here has so many. */
  readonly depth: number;
  /** Of these, the nearest checkpoint before it would still let skip so many. */
  readonly above: number;
}

/**
 * Which K and V the checkpoints of recurrent states need: a prefix ends at a checkpoint, so what
 * lies behind the last one of a text is never found, and what lies before one is needed by it. A
 * radix tree over the contents of blocks, after Marconi (Pan et al. 2024); its leaves are
 * checkpoints:
 *
 *     [ ]--[ ]--[*]--[ ]--[ ]--[*]      *: a checkpoint; depths 3, 6, 5
 *                 \--[ ]--[*]
 *
 * Memory: a node for each content; a call costs O(1) for each node that it makes, removes or
 * counts.
 */
export class CheckpointTree {
  /** Groups of states: a block of each of them is a piece of a checkpoint. */
  readonly pieces: readonly number[];
  /** Blocks from one checkpoint of a prompt to the next, the same in all groups of states. */
  readonly distance: number;
  /** Groups of which a prefix needs all blocks. */
  readonly full: readonly number[];
  readonly #nodes = new Map<BlockHash, Node>();
  #numCheckpoints = 0;

  constructor(groups: readonly CacheGroup[]) {
    const of = (kind: CacheGroup['kind']): number[] =>
      groups.flatMap((group, g) => (group.kind === kind ? [g] : []));
    this.pieces = of('recurrent');
    this.distance = Math.max(
      0,
      ...groups.map((group) => (group.kind === 'recurrent' ? group.checkpointBlocks : 0)),
    );
    this.full = of('full');
  }

  get numCheckpoints(): number {
    return this.#numCheckpoints;
  }

  /** A checkpoint stands behind block `index`. @param hashes of the sequence, from its beginning */
  add(hashes: readonly BlockHash[], index: number): void {
    const node = this.#nodeAt(hashes, index);
    if (node.isCheckpoint) return;
    node.isCheckpoint = true;
    this.#numCheckpoints += 1;
  }

  /** Whether a prefix can be found that uses this content in this group. */
  isUseful(group: number, hash: BlockHash): boolean {
    const node = this.#nodes.get(hash);
    if (this.full.includes(group)) return node !== undefined;
    return !this.pieces.includes(group) || (node?.isCheckpoint ?? false);
  }

  /**
   * A group has lost this content. If it was a piece of a checkpoint, all of that is lost.
   *
   * @returns contents whose K and V no checkpoint needs any more, last first; null when it was no
   *   piece
   */
  lost(group: number, hash: BlockHash): BlockHash[] | null {
    let node = this.#nodes.get(hash) ?? null;
    if (!node?.isCheckpoint || !this.pieces.includes(group)) return null;
    const removed: BlockHash[] = [];
    node.isCheckpoint = false;
    this.#numCheckpoints -= 1;
    while (node && !node.isCheckpoint && node.numChildren === 0) {
      this.#nodes.delete(node.hash);
      removed.push(node.hash);
      node = node.parent;
      if (node) node.numChildren -= 1;
    }
    return removed;
  }

  /** @throws Error when no checkpoint stands behind this content */
  span(hash: BlockHash): CheckpointSpan {
    const node = this.#nodes.get(hash);
    if (!node?.isCheckpoint) throw new Error('no checkpoint stands there');
    let above = node.parent;
    while (above && !above.isCheckpoint) above = above.parent;
    return { depth: node.depth, above: above?.depth ?? 0 };
  }

  clear(): void {
    this.#nodes.clear();
    this.#numCheckpoints = 0;
  }

  /**
   * @param isCached whether a lookup finds that content in that group
   * @throws Error that names the first contradiction
   */
  checkIntegrity(isCached: (group: number, hash: BlockHash) => boolean): void {
    const children = new Map<Node, number>();
    let checkpoints = 0;
    for (const { hash, parent, isCheckpoint } of this.#nodes.values()) {
      checkpoints += Number(isCheckpoint);
      if (isCheckpoint && !this.pieces.every((group) => isCached(group, hash))) {
        throw new Error('a checkpoint has lost a piece');
      }
      if (!parent) continue;
      if (this.#nodes.get(parent.hash) !== parent) throw new Error('a node has lost its parent');
      children.set(parent, (children.get(parent) ?? 0) + 1);
    }
    if (checkpoints !== this.#numCheckpoints) {
      throw new Error(`${checkpoints} checkpoints, the count is ${this.#numCheckpoints}`);
    }
    for (const node of this.#nodes.values()) {
      const count = children.get(node) ?? 0;
      if (count !== node.numChildren) {
        throw new Error(`a node has ${count} children, its count is ${node.numChildren}`);
      }
      if (count === 0 && !node.isCheckpoint) throw new Error('a node is needed by no checkpoint');
    }
  }

  #nodeAt(hashes: readonly BlockHash[], index: number): Node {
    let known = index;
    while (known >= 0 && !this.#nodes.has(hashes[known])) known -= 1;
    let node = known < 0 ? null : (this.#nodes.get(hashes[known]) as Node);
    for (let at = known + 1; at <= index; at++) {
      const [hash, parent, depth] = [hashes[at], node, at + 1];
      if (parent) parent.numChildren += 1;
      node = { hash, parent, depth, numChildren: 0, isCheckpoint: false };
      this.#nodes.set(hash, node);
    }
    return node as Node;
  }
}
