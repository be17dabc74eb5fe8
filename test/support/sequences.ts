import { hash } from 'node:crypto';
import { rootHash } from '../../kvcache/block-hash.js';
import { BlockHistory } from '../../kvcache/block-history.js';
import type { BlockHash } from '../../kvcache/ids.js';
import { SequenceBlocks } from '../../kvcache/sequence-blocks.js';
import type { SequenceId, TokenId } from '../../scheduler/ids.js';
import { type RequestSpec, Sequence } from '../../scheduler/sequence.js';

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

/** A sequence of the scheduler without blocks, whose prompt has tokens of its own. */
export function sequenceOf(
  order: number,
  promptTokens: number,
  more: Partial<RequestSpec> = {},
): Sequence {
  const id = `sequence-${order}` as SequenceId;
  const promptTokenIds = range(1000 * order, promptTokens) as TokenId[];
  const spec = {
    ids: [id],
    promptTokenIds,
    maxTokens: 16,
    stopTokenIds: [],
    priority: 0,
    arrivalTime: 0,
    cacheSalt: null,
    computesWholePrompt: false,
    ...more,
  };
  return new Sequence(spec, spec.ids, spec.promptTokenIds, order, newSequence());
}
