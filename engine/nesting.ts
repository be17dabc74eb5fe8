/**
 * Levels of arrays and objects in what clients send. Reading JSON has no such limit, but what walks
 * through it afterwards recurses: templates, schemas, JSON.stringify. All of them manage several
 * times as many.
 */
export const MAX_NESTING = 500;

/** @returns the keys that lead to a first place that is nested too deeply; null: there is none */
export function tooDeepPath(value: unknown): string[] | null {
  return reversedPath(value, 1)?.toReversed() ?? null;
}

/** Recursive, for it stops at the limit; without allocation, for bodies have millions of values. */
function reversedPath(value: unknown, depth: number): string[] | null {
  if (typeof value !== 'object' || value === null) return null;
  if (depth > MAX_NESTING) return [];
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) {
      const path = reversedPath(value[index], depth + 1);
      if (path) return [...path, String(index)];
    }
    return null;
  }
  for (const key of Object.keys(value)) {
    const path = reversedPath((value as Record<string, unknown>)[key], depth + 1);
    if (path) return [...path, key];
  }
  return null;
}
