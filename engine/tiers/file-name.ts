import type { BlockHash } from '../../kvcache/ids.js';
import { type BlockKey, blockKey } from './block-tier.js';

/** The name of a content outside the process: its hash in hexadecimal, and its group. */
export function fileName(key: BlockKey): string {
  const at = key.indexOf(':');
  return `${Buffer.from(key.slice(at + 1), 'base64').toString('hex')}.${key.slice(0, at)}`;
}

/** Null for a name that `fileName` does not give. */
export function keyOfFile(name: string): BlockKey | null {
  const match = /^([0-9a-f]{64})\.(\d+)$/.exec(name);
  if (!match) return null;
  return blockKey(Number(match[2]), Buffer.from(match[1], 'hex').toString('base64') as BlockHash);
}
