export interface BatchLimits {
  readonly maxSequences: number;
  /** Of a batch with its padding; a longer text is computed alone. */
  readonly maxTokens: number;
}

/** Of all tokens of a batch, those that may be padding: one in so many. */
const PADDING_SHARE = 8;
/** Tokens of padding that cost less than a step of their own. */
const CHEAP_PADDING = 64;

/**
 * Which of the waiting texts are computed together. A graph takes a rectangle, whose rows are
 * filled up to the longest text; so those are chosen whose lengths are close to that of the first,
 * which is always among them: no text waits forever.
 *
 * @param lengths tokens of each text, in the order in which they are to be served; at least one
 * @returns indexes, the shortest text first
 */
export function chooseBatch(
  lengths: readonly number[],
  { maxSequences, maxTokens }: BatchLimits,
): number[] {
  // Among texts of one length, the earlier ones come first.
  const sorted = lengths.map((_, index) => index).sort((a, b) => lengths[a] - lengths[b] || a - b);
  const first = sorted.indexOf(0);
  let [low, high] = [first, first];
  let tokens = lengths[0];
  const grown = (from: number, to: number, added: number) => {
    const padded = (to - from + 1) * lengths[sorted[to]];
    return { from, to, padded, added, padding: padded - tokens - added };
  };
  while (high - low + 1 < maxSequences) {
    const options = [
      ...(low > 0 ? [grown(low - 1, high, lengths[sorted[low - 1]])] : []),
      ...(high + 1 < sorted.length ? [grown(low, high + 1, lengths[sorted[high + 1]])] : []),
    ];
    const allowed = options.filter(
      ({ padded, padding }) =>
        padded <= maxTokens && padding <= Math.max(CHEAP_PADDING, padded / PADDING_SHARE),
    );
    if (allowed.length === 0) break;
    const best = allowed.reduce((a, b) => (b.padding < a.padding ? b : a));
    [low, high] = [best.from, best.to];
    tokens += best.added;
  }
  return sorted.slice(low, high + 1);
}

/**
 * Which of the waiting texts are computed together where nothing is filled up: the next ones.
 *
 * @param lengths as above
 */
export function choosePacked(
  lengths: readonly number[],
  { maxSequences, maxTokens }: BatchLimits,
): number[] {
  const chosen: number[] = [];
  let tokens = 0;
  for (const [index, length] of lengths.entries()) {
    if (chosen.length === maxSequences) break;
    if (chosen.length > 0 && tokens + length > maxTokens) break;
    chosen.push(index);
    tokens += length;
  }
  return chosen;
}
