import { rootHash } from '../../kvcache/block-hash.js';
import { BlockTable } from '../../kvcache/block-table.js';

/** Token ids `from`, `from + 1`, ... */
export function range(from: number, length: number): number[] {
  return Array.from({ length }, (_, i) => from + i);
}

/** An empty table in a scope of its own per salt. */
export function newTable(cacheSalt: string | null = null, modelFingerprint = 'model'): BlockTable {
  return new BlockTable(rootHash({ modelFingerprint, cacheSalt, lengthClass: 0 }));
}
