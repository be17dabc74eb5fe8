/**
 * How many values there are in a value of JSON, itself included: what it costs a chat template to
 * look through it.
 *
 * @param most counting ends there
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
