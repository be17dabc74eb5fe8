/**
 * Levels of arrays and objects in what clients send. Reading JSON has no such limit, but what walks through it afterwards recurses:
 * templates, schemas, JSON.stringify. All of them manage several times as many.
 */
export const MAX_NESTING = 500;

/** A list or an object, and how it is reached. */
interface Place {
  readonly value: object;
  readonly key: string;
  readonly parent: Place | null;
  readonly depth: number;
}

/** @returns the keys that lead to a first place that is nested too deeply; null: there is none */
export function tooDeepPath(value: unknown): string[] | null {
  if (typeof value !== 'object' || value === null) return null;
  const open: Place[] = [{ value, key: '', parent: null, depth: 1 }];
  for (let place = open.pop(); place; place = open.pop()) {
    if (place.depth > MAX_NESTING) return pathOf(place);
    const { depth } = place;
    for (const [key, inner] of Object.entries(place.value) as [string, unknown][]) {
      if (typeof inner !== 'object' || inner === null) continue;
      open.push({ value: inner, key, parent: place, depth: depth + 1 });
    }
  }
  return null;
}

function pathOf(place: Place): string[] {
  const keys: string[] = [];
  for (let at = place; at.parent !== null; at = at.parent) keys.push(at.key);
  return keys.toReversed();
}
