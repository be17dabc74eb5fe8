/** Sizes of groups that kernels have, the quickest first. */
const SIZES = [128, 64, 32, 16];

/** Groups of a size that kernels have: each stored group is so many of them, with its scale. */
export interface Groups {
  readonly group: number;
  readonly repeats: number;
}

/** Whether `groups` equal groups of `columns` can be divided into groups that kernels have. */
export function isDivisible(columns: number, groups: number): boolean {
  return groups > 0 && columns % groups === 0 && (columns / groups) % 16 === 0;
}

export function groupsOf(columns: number, groups: number): Groups {
  const size = columns / groups;
  const group = SIZES.find((candidate) => size % candidate === 0) ?? 16;
  return { group, repeats: size / group };
}
