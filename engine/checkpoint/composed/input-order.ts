/** An input's group is none, or its group has not as many inputs as others. */
export class OrderError extends Error {}

/**
 * The inputs, group by group (GPTQ's act-order quantizes the inputs with the largest activations
 * first, so that a group's inputs lie anywhere).
 *
 * @param groupOf the group of each input
 * @returns null when one group follows the other
 * @throws OrderError
 */
export function orderOf(groupOf: Int32Array, groups: number): Int32Array | null {
  const size = groupOf.length / groups;
  const next = Int32Array.from({ length: groups }, (_, g) => g * size);
  const order = new Int32Array(groupOf.length);
  let isSorted = true;
  for (const [input, group] of groupOf.entries()) {
    if (group < 0 || group >= groups) {
      throw new OrderError(
        `has input ${input} in group ${group}; its groups are 0 to ${groups - 1}`,
      );
    }
    const column = next[group]++;
    if (column >= (group + 1) * size) {
      throw new OrderError(`has more than ${size} inputs in group ${group}`);
    }
    order[column] = input;
    if (column !== input) isSorted = false;
  }
  return isSorted ? null : order;
}
