import type { ByteTable } from '../byte-level.js';
import type { TokenWriter } from './decoder.js';

/** Bytes of each token of a vocabulary. */
export interface TokenTable {
  /** Bytes inside a text. */
  readonly inside: ByteTable;
  /** Bytes at the beginning of a text; the same table when there is no difference. */
  readonly opening: ByteTable;
  /** Length of the longest token in bytes, at least 1. */
  readonly longest: number;
}

/**
 * @param entries entries of the vocabulary, by id
 * @param plain ids of entries that are written literally
 */
export function tabulate(
  entries: readonly (string | undefined)[],
  writer: TokenWriter,
  plain: ReadonlySet<number>,
): TokenTable {
  const tableOf = (write: (token: string) => Uint8Array): ByteTable =>
    entries.map((token, id) => {
      if (token === undefined) return undefined;
      return plain.has(id) ? Buffer.from(token) : write(token);
    });
  const inside = tableOf(writer.inside);
  const opening = writer.opening === writer.inside ? inside : tableOf(writer.opening);
  const longest = inside.reduce((most, bytes) => Math.max(most, bytes?.length ?? 0), 1);
  return { inside, opening, longest };
}
