import { createHash } from 'node:crypto';
import type { BlockKey } from './block-tier.js';

/** Begins every record; its last byte is the version of the form. */
const MAGIC = Buffer.from('OCTVKV\0\x01', 'latin1');
const DIGEST_BYTES = 32;

export const HEAD_BYTES = MAGIC.length + DIGEST_BYTES;

/**
 * The head of a content in a tier that outlives the process: what shows that the bytes behind it
 * are those that were kept, under this key, by an engine of the same model and format. The digest
 * is SHA-256 over all of these, so a record that is truncated, damaged, put in another's place, or
 * made by another engine does not fit.
 *
 *     | magic (8) | SHA-256 (32): namespace, key, content | content (bytesPerBlock) |
 *
 * It is no signature: a program that can write into a tier can put other contents there
 * (SECURITY.md).
 *
 * @param namespace identifies model, formats and layout
 */
export function recordHead(namespace: string, key: BlockKey, content: Uint8Array): Buffer {
  return Buffer.concat([MAGIC, digestOf(namespace, key, content)]);
}

/** Whether head and content belong to this key. */
export function isWhole(
  namespace: string,
  key: BlockKey,
  head: Uint8Array,
  content: Uint8Array,
): boolean {
  if (head.length !== HEAD_BYTES || MAGIC.compare(head, 0, MAGIC.length) !== 0) return false;
  return digestOf(namespace, key, content).compare(head, MAGIC.length) === 0;
}

function digestOf(namespace: string, key: BlockKey, content: Uint8Array): Buffer {
  // Neither namespace nor key holds a zero, so no two pairs of them read alike.
  return createHash('sha256').update(`${namespace}\0${key}\0`).update(content).digest();
}
