/** A piece of a text that is being split into words. */
export interface Piece {
  readonly text: string;
  /** Whether it begins at the beginning of the whole text. */
  readonly opens: boolean;
}

/** What happens to the matches of a pattern, in the terms of tokenizer.json. */
export type SplitBehavior =
  | 'Removed'
  | 'Isolated'
  | 'MergedWithPrevious'
  | 'MergedWithNext'
  | 'Contiguous';

export interface Cut {
  readonly pattern: RegExp;
  readonly behavior: SplitBehavior;
  /** Swaps matches and the parts between them. */
  readonly invert?: boolean;
}

interface Span {
  start: number;
  end: number;
  isMatch: boolean;
}

/** Splits a piece at the matches of a pattern. Empty pieces are left out. */
export function cutPiece({ text, opens }: Piece, { pattern, behavior, invert }: Cut): Piece[] {
  const spans = spansOf(text, pattern);
  if (invert === true) for (const span of spans) span.isMatch = !span.isMatch;
  return joined(spans, behavior)
    .filter(({ start, end }) => end > start)
    .map(({ start, end }) => ({ text: text.slice(start, end), opens: opens && start === 0 }));
}

/** Matches and the parts between them; together they are the whole text. */
function spansOf(text: string, pattern: RegExp): Span[] {
  const spans: Span[] = [];
  let end = 0;
  for (const match of text.matchAll(pattern)) {
    if (match.index > end) spans.push({ start: end, end: match.index, isMatch: false });
    end = match.index + match[0].length;
    spans.push({ start: match.index, end, isMatch: true });
  }
  if (end < text.length) spans.push({ start: end, end: text.length, isMatch: false });
  return spans;
}

function joined(spans: readonly Span[], behavior: SplitBehavior): Span[] {
  const result: Span[] = [];
  let previous: Span | undefined;
  switch (behavior) {
    case 'Isolated':
      return [...spans];
    case 'Removed':
      return spans.filter(({ isMatch }) => !isMatch);
    case 'Contiguous':
      for (const span of spans) {
        const last = result.at(-1);
        if (last?.isMatch === span.isMatch) last.end = span.end;
        else result.push({ ...span });
      }
      return result;
    case 'MergedWithPrevious':
      for (const span of spans) {
        const last = result.at(-1);
        if (last && span.isMatch && previous?.isMatch === false) last.end = span.end;
        else result.push({ ...span });
        previous = span;
      }
      return result;
    case 'MergedWithNext':
      for (const span of spans.toReversed()) {
        const last = result.at(-1);
        if (last && span.isMatch && previous?.isMatch === false) last.start = span.start;
        else result.push({ ...span });
        previous = span;
      }
      return result.reverse();
  }
}
