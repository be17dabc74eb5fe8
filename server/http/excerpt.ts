/** More items than any list of a request may have, so that one that is too long still is. */
const MAX_ITEMS = 10_001;
const MAX_MEMBERS = 2000;
/** Of all lists and objects together. */
const MAX_VALUES = 20_000;

/**
 * Enough of a refused value to say what is wrong with it: the validator looks at all of it, with some 10 us for each part, and bodies
 * have millions of them. Lists and objects keep their beginning, and at least one item.
 */
export function excerptOf(value: unknown): unknown {
  let left = MAX_VALUES;
  const room = (count: number, most: number): number => {
    const kept = Math.max(1, Math.min(count, most, left));
    left -= kept;
    return kept;
  };
  const cut = (part: unknown): unknown => {
    if (typeof part !== 'object' || part === null) return part;
    if (Array.isArray(part)) return part.slice(0, room(part.length, MAX_ITEMS)).map(cut);
    const keys = Object.keys(part);
    const kept = keys.slice(0, room(keys.length, MAX_MEMBERS));
    return Object.fromEntries(
      kept.map((key) => [key, cut((part as Record<string, unknown>)[key])]),
    );
  };
  return cut(value);
}
