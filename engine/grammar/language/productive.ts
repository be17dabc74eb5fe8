import type { Expression, Grammar } from './expression.js';

/** A place that has an end as soon as so many of the places that it waits for have one. */
interface Awaiting {
  missing: number;
  /** Those that wait for this place. */
  waiters: Awaiting[];
  /** The rule whose body it is. */
  readonly rule: string | null;
}

/**
 * A rule that no finite text can satisfy, because each of its ways leads to itself again: a model
 * that enters it never ends.
 *
 * Each place counts what it still waits for, and tells those that wait for it when it is done
 * (Dowling and Gallier 1984, for Horn formulas): the time grows with the size of the grammar, in
 * whatever order its rules are written.
 *
 * @returns its name; null when every rule ends somewhere
 */
export function findEndlessRule({ rules }: Grammar): string | null {
  const places = new Map<string, Awaiting>();
  const placeOf = (name: string): Awaiting => {
    const known = places.get(name);
    if (known) return known;
    const place = { missing: 1, waiters: [], rule: name };
    places.set(name, place);
    return place;
  };
  const done: Awaiting[] = [];
  for (const [name, body] of rules) {
    const place = placeOf(name);
    if (waitFor(body, place, placeOf)) done.push(place);
  }
  const productive = new Set<string>();
  for (let place = done.pop(); place; place = done.pop()) {
    if (place.rule !== null) {
      if (productive.has(place.rule)) continue;
      productive.add(place.rule);
    }
    for (const waiter of place.waiters) if (--waiter.missing === 0) done.push(waiter);
  }
  for (const name of rules.keys()) if (!productive.has(name)) return name;
  return null;
}

/**
 * @returns whether the expression has an end for certain; otherwise `waiter` is told when it turns
 *   out to have one
 */
function waitFor(
  expression: Expression,
  waiter: Awaiting,
  placeOf: (name: string) => Awaiting,
): boolean {
  switch (expression.kind) {
    case 'text':
    case 'class':
    case 'regular':
      return true;
    case 'repeat':
      return expression.min === 0 || waitFor(expression.item, waiter, placeOf);
    case 'rule':
      placeOf(expression.name).waiters.push(waiter);
      return false;
    case 'choice': {
      // Any of them will do; one that is told twice is past zero.
      const any: Awaiting = { missing: 1, waiters: [waiter], rule: null };
      const ways = expression.items.filter((item) => waitFor(item, any, placeOf));
      // What the other ways come to must not be told as well.
      if (ways.length > 0) any.waiters = [];
      return ways.length > 0;
    }
    case 'sequence': {
      const all: Awaiting = { missing: 0, waiters: [waiter], rule: null };
      for (const item of expression.items) if (!waitFor(item, all, placeOf)) all.missing += 1;
      return all.missing === 0;
    }
  }
}
