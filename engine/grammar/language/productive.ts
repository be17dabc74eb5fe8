import type { Expression, Grammar } from './expression.js';

/** A part of the grammar that is known to end once `missing` more of its parts are. */
interface Awaiting {
  missing: number;
  /** Parts that wait for this one. */
  waiters: Awaiting[];
  /** The rule of which it is the body. */
  readonly rule: string | null;
}

/**
 * Finds a rule that no finite text can satisfy, because each of its alternatives leads back to it:
 * a model that enters it never ends.
 *
 * Each part counts the parts that it still waits for, and notifies its waiters when it is done
 * (Dowling and Gallier 1984, for Horn formulas). The time is linear in the size of the grammar, in
 * whatever order its rules are written.
 *
 * @returns its name; null when every rule has a finite text
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
 * @returns whether the expression certainly ends; otherwise `waiter` is notified when that becomes
 *   known
 */
function waitFor(
  expression: Expression,
  waiter: Awaiting,
  placeOf: (name: string) => Awaiting,
): boolean {
  switch (expression.kind) {
    case 'text':
    case 'class':
    case 'machine':
    case 'regular':
      return true;
    case 'repeat':
      return expression.min === 0 || waitFor(expression.item, waiter, placeOf);
    case 'rule':
      placeOf(expression.name).waiters.push(waiter);
      return false;
    case 'choice': {
      // Any alternative suffices; a second notification takes the count below zero, which has no
      // effect.
      const any: Awaiting = { missing: 1, waiters: [waiter], rule: null };
      const ways = expression.items.filter((item) => waitFor(item, any, placeOf));
      // The other alternatives must not notify the waiter again.
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
