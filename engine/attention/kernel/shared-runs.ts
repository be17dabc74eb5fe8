import type { ContextCuts } from './context-cuts.js';

/**
 * Pages that must be read less often for a run to be shared, counted by tiles of the context: each
 * row of a run costs a state that is written and read again.
 */
const MIN_SAVED_TILES = 2;

/** A sequence that may share the beginning of its context. */
export interface Sharer {
  /** Of its queries. */
  readonly tile: number;
  /** Where its block table begins in those of the batch. */
  readonly table: number;
  /** Whole tiles of the context before the step's first query. */
  readonly tiles: number;
}

/** Sequences with the same blocks from tile `begin` to `end - 1` of their contexts. */
export interface SharedRun {
  readonly sharers: readonly Sharer[];
  readonly begin: number;
  readonly end: number;
}

/** What sequences can share of a span, from its begin to some tile or to its end. */
interface Growth {
  /** Tiles that are not read again. */
  readonly saved: number;
  readonly runs: readonly SharedRun[];
  /** Those that agree up to the end of the span. */
  readonly together: readonly (readonly Sharer[])[];
}

/**
 * Finds, span by span, which sequences read the same blocks: the nodes of the prefix tree that
 * their block tables form (Ye et al. 2024, ChunkAttention), each node cut at the ends of spans.
 * Within a span, a sequence belongs to one run at most. Where sequences part inside a span, either
 * all of them share what is before, or those that agree for longer do, whichever reads less.
 *
 * A step in which nothing is shared costs one look at each table.
 */
export function sharedRuns(
  sharers: readonly Sharer[],
  blocks: Int32Array,
  { blocksPerTile, blocksPerSpan }: ContextCuts,
): SharedRun[] {
  const tilesPerSpan = blocksPerSpan / blocksPerTile;
  const runs: SharedRun[] = [];
  const pending: { readonly sharers: readonly Sharer[]; readonly begin: number }[] = [
    { sharers, begin: 0 },
  ];
  for (let next = pending.pop(); next; next = pending.pop()) {
    const { begin } = next;
    const end = begin + tilesPerSpan;
    const grown = grow(next.sharers, blocks, blocksPerTile, begin, begin, end);
    runs.push(...grown.runs);
    pending.push(...grown.together.map((group) => ({ sharers: group, begin: end })));
  }
  return runs;
}

/** @param tile up to which `sharers` agree, from `begin` on */
function grow(
  sharers: readonly Sharer[],
  blocks: Int32Array,
  blocksPerTile: number,
  begin: number,
  tile: number,
  end: number,
): Growth {
  const saved = (sharers.length - 1) * (tile - begin);
  const runs = saved >= MIN_SAVED_TILES ? [{ sharers, begin, end: tile }] : [];
  if (tile === end) return { saved, runs, together: [sharers] };
  const deeper = agreeing(sharers, blocks, blocksPerTile, tile).map((group) =>
    grow(group, blocks, blocksPerTile, begin, tile + 1, end),
  );
  const together = deeper.flatMap((growth) => growth.together);
  const savedBelow = deeper.reduce((sum, growth) => sum + growth.saved, 0);
  return savedBelow > saved
    ? { saved: savedBelow, runs: deeper.flatMap((growth) => growth.runs), together }
    : { saved, runs, together };
}

/** Groups of two or more whose past has this tile, in the same blocks. */
function agreeing(
  sharers: readonly Sharer[],
  blocks: Int32Array,
  blocksPerTile: number,
  tile: number,
): Sharer[][] {
  const before = (tile + 1) * blocksPerTile;
  const begin = before - blocksPerTile;
  const able = sharers.filter(({ tiles }) => tiles > tile);
  if (able.length < 2) return [];
  if (able.every((sharer) => agree(able[0], sharer, blocks, begin, before))) return [able];
  // A block is rarely found behind different ones, so its last block nearly always tells a tile
  // from all others; where it does not, the first sequence's blocks count.
  const groups = new Map<number, Sharer[]>();
  for (const sharer of able) {
    const last = blocks[sharer.table + before - 1];
    const group = groups.get(last);
    if (!group) groups.set(last, [sharer]);
    else if (agree(group[0], sharer, blocks, begin, before)) group.push(sharer);
  }
  return [...groups.values()].filter((group) => group.length > 1);
}

function agree(a: Sharer, b: Sharer, blocks: Int32Array, begin: number, end: number): boolean {
  for (let i = begin; i < end; i++) {
    if (blocks[a.table + i] !== blocks[b.table + i]) return false;
  }
  return true;
}
