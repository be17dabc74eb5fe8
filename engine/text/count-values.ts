/**
 * The number of values in a JSON value, including itself; it bounds the time that a chat template
 * takes to read it.
 *
 * @param most counting stops at this number
 */
export function countValues(value: unknown, most: number): number {
  const left: unknown[] = [value];
  let count = 0;
  for (; left.length > 0 && count <= most; count++) {
    const next = left.pop();
    if (typeof next !== 'object' || next === null) continue;
    for (const inner of Array.isArray(next) ? next : Object.values(next)) left.push(inner);
  }
  return count;
}
