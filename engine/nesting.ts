/**
 * Maximum depth of arrays and objects in client input. Parsing JSON has no such limit, but
 * templates, schemas and JSON.stringify recurse over the result. All of them support several times
 * this depth.
 */
export const MAX_NESTING = 500;

/**
 * @returns the keys that lead to the first place that is nested too deeply; null when there is none
 */
export function tooDeepPath(value: unknown): string[] | null {
  return reversedPath(value, 1)?.toReversed() ?? null;
}

/**
 * Recursive, because it stops at the limit. Allocates nothing, because bodies may have millions of
 * values.
 */
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
