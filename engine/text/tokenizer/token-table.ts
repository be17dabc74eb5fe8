import type { ByteTable } from '../byte-level.js';
import type { TokenWriter } from './decoder.js';

/** What each token of a vocabulary writes. */
export interface TokenTable {
  /** Inside of a text. */
  readonly inside: ByteTable;
  /** At its beginning; the same table where that is no other. */
  readonly opening: ByteTable;
  /** Bytes of the longest, 1 at least. */
  readonly longest: number;
}

/**
 * @param entries of the vocabulary, by id
 * @param plain ids of entries that are written as they stand
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
