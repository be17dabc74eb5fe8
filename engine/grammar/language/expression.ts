/**
 * A grammar as a tree over code points. All notations (JSON schemas, regular expressions, EBNF) are
 * converted to it, and only it is printed for the grammar library, so the library can compile
 * whatever it receives.
 */
export type Expression =
  | { readonly kind: 'text'; readonly text: string }
  /** One code point of these ranges, which are sorted, disjoint and free of surrogates. */
  | { readonly kind: 'class'; readonly ranges: readonly Range[] }
  | { readonly kind: 'sequence'; readonly items: readonly Expression[] }
  /** At least one. */
  | { readonly kind: 'choice'; readonly items: readonly Expression[] }
  /** Between `min` and `max` times; null for no maximum. */
  | {
      readonly kind: 'repeat';
      readonly item: Expression;
      readonly min: number;
      readonly max: number | null;
    }
  | { readonly kind: 'rule'; readonly name: string }
  /** The texts that a machine accepts. */
  | { readonly kind: 'machine'; readonly states: readonly MachineState[] }
  /** The language of the item, which refers to no rules; printed as an automaton. */
  | { readonly kind: 'regular'; readonly item: Expression };

/** Code points, both ends included. */
export type Range = readonly [first: number, last: number];

/** A state of a deterministic automaton over code points; the first one is the start. */
export interface MachineState {
  readonly isFinal: boolean;
  /** Disjoint. */
  readonly moves: readonly { readonly ranges: readonly Range[]; readonly target: number }[];
}

/** Rules by name; the grammar's language is that of `root`. */
export interface Grammar {
  readonly root: Expression;
  readonly rules: ReadonlyMap<string, Expression>;
}

export const EMPTY: Expression = { kind: 'text', text: '' };

const LAST_CODE_POINT = 0x10ffff;
const SURROGATES: Range = [0xd800, 0xdfff];

/** Half of a surrogate pair has no UTF-8. */
export const hasLoneSurrogate = (value: string): boolean => /\p{Surrogate}/u.test(value);

export const text = (value: string): Expression => ({ kind: 'text', text: value });

export const rule = (name: string): Expression => ({ kind: 'rule', name });

export const sequence = (...items: readonly Expression[]): Expression => sequenceOf(items);

/**
 * The same for a list from a client: spread as arguments, too many items would overflow the stack.
 */
export function sequenceOf(items: readonly Expression[]): Expression {
  const flat = items.flatMap((item) => (item.kind === 'sequence' ? item.items : [item]));
  const kept = flat.filter((item) => !isEmpty(item));
  if (kept.length === 0) return EMPTY;
  return kept.length === 1 ? kept[0] : { kind: 'sequence', items: kept };
}

export const choice = (...items: readonly Expression[]): Expression => choiceOf(items);

/** Takes a list, as `sequenceOf` does. */
export function choiceOf(items: readonly Expression[]): Expression {
  const flat = items.flatMap((item) => (item.kind === 'choice' ? item.items : [item]));
  return flat.length === 1 ? flat[0] : { kind: 'choice', items: flat };
}

export function repeat(item: Expression, min: number, max: number | null): Expression {
  if (max === 0) return EMPTY;
  return min === 1 && max === 1 ? item : { kind: 'repeat', item, min, max };
}

export const regular = (item: Expression): Expression => ({ kind: 'regular', item });

export const optional = (item: Expression): Expression => repeat(item, 0, 1);

export const characters = (...ranges: readonly Range[]): Expression => charactersOf(ranges);

/** Takes a list, as `sequenceOf` does. */
export const charactersOf = (ranges: readonly Range[]): Expression => ({
  kind: 'class',
  ranges: withoutSurrogates(union(ranges)),
});

export const isEmpty = (item: Expression): boolean => item.kind === 'text' && item.text === '';

/** Sorts ranges and joins adjacent ones. */
export function union(ranges: readonly Range[]): Range[] {
  const sorted = ranges.toSorted((a, b) => a[0] - b[0]);
  const joined: [number, number][] = [];
  for (const [first, last] of sorted) {
    const previous = joined.at(-1);
    if (previous && first <= previous[1] + 1) previous[1] = Math.max(previous[1], last);
    else joined.push([first, last]);
  }
  return joined;
}

/** All code points outside the ranges. */
export function complement(ranges: readonly Range[]): Range[] {
  const result: Range[] = [];
  let next = 0;
  for (const [first, last] of union(ranges)) {
    if (first > next) result.push([next, first - 1]);
    next = last + 1;
  }
  if (next <= LAST_CODE_POINT) result.push([next, LAST_CODE_POINT]);
  return result;
}

/** The code points that are in both. */
export const intersect = (ranges: readonly Range[], others: readonly Range[]): Range[] =>
  complement([...complement(ranges), ...complement(others)]);

const withoutSurrogates = (ranges: readonly Range[]): Range[] =>
  ranges.some(([first, last]) => first <= SURROGATES[1] && last >= SURROGATES[0])
    ? intersect(ranges, complement([SURROGATES]))
    : [...ranges];
