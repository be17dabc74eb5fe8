import { hash } from 'node:crypto';
import { rootHash } from '../../kvcache/block-hash.js';
import { BlockHistory } from '../../kvcache/block-history.js';
import type { BlockHash } from '../../kvcache/ids.js';
import { SequenceBlocks } from '../../kvcache/sequence-blocks.js';

/** Token ids `from`, `from + 1`, ... */
export function range(from: number, length: number): number[] {
  return Array.from({ length }, (_, i) => from + i);
}

/** Of a scope of its own per salt. */
export function rootOf(cacheSalt: string | null = null, modelFingerprint = 'model'): BlockHash {
  return rootHash({ modelFingerprint, adapter: null, cacheSalt, lengthClass: 0 });
}

/** A sequence without blocks, in a scope of its own per salt. */
export function newSequence(
  cacheSalt: string | null = null,
  modelFingerprint = 'model',
  numGroups = 1,
): SequenceBlocks {
  return new SequenceBlocks(rootOf(cacheSalt, modelFingerprint), numGroups);
}

/** A block's hash, as that of any content. */
export function contentHash(name: string): BlockHash {
  return hash('sha256', name, 'base64') as BlockHash;
}

/** A history that samples nothing. */
export function historyOf(numBlocks: number, now: () => number = () => 0): BlockHistory {
  return new BlockHistory({ numBlocks, now, sampleRate: 0, random: () => 0 });
}
