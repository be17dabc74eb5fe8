/** Rows of queries, and of the keys that they see: `[from, to, keyFrom, keyTo]`, ends excluded. */
export type Span = readonly [from: number, to: number, keyFrom: number, keyTo: number];

/** Rows of a span in layers that do not see all of a text: its keys are these, and the reach. */
const NEAR_ROWS = 256;

/** A span for each text: all of it sees all of it. */
export function wholeSpans(lengths: readonly number[]): Span[] {
  let start = 0;
  return lengths.map((length) => {
    const from = start;
    start += length;
    return [from, start, from, start];
  });
}

/**
 * Spans whose rows see those near them. A long text has several, so that its cost grows with its
 * length, and not with the square of it.
 *
 * @param reach rows that are seen on each side
 */
export function nearSpans(lengths: readonly number[], reach: number): Span[] {
  return wholeSpans(lengths).flatMap(([start, end]) => {
    const pieces = Math.ceil((end - start) / NEAR_ROWS);
    return Array.from({ length: pieces }, (_, piece): Span => {
      const from = start + piece * NEAR_ROWS;
      const to = Math.min(from + NEAR_ROWS, end);
      return [from, to, Math.max(from - reach, start), Math.min(to + reach, end)];
    });
  });
}
