import { LAYER_BLOCK_SIZE, LAYER_HEAD_SIZE, TILE_TOKENS } from './layout';
import { stateBytes } from './states';

/** Where a thread has the numbers of its task; `scratchBytes` of the host is its size. */
// @ts-ignore: decorator
@unmanaged
export class Scratch {
  /** `[rows][headSize]`, float32 or int16. */
  queries: usize;
  /** `[rows]` */
  queryScales: usize;
  /** Two arrays of states of rows. */
  states: usize;
  otherStates: usize;
  /** `[rows]`, `scoreStride` bytes each: a tile of the context. */
  scores: usize;
  scoreStride: usize;
  /** `[rows]` */
  weightScales: usize;
  /** By token of the tile. */
  valueScales: usize;
  /** Addresses of the tile's pages. */
  pieces: usize;
  /** Widened pages. */
  wide: usize;
}

/** Blocks of a tile of the context. */
// @ts-ignore: decorator
@inline
export function blocksPerTile(layer: usize): i32 {
  return max(1, TILE_TOKENS / load<i32>(layer, LAYER_BLOCK_SIZE));
}

/** Lays out a thread's memory for a task of so many rows. */
export function placeScratch(layer: usize, rows: i32, memory: usize): Scratch {
  const s = changetype<Scratch>(memory);
  const column = <usize>rows << 2;
  const states = <usize>rows * stateBytes(layer);
  s.scoreStride = <usize>(blocksPerTile(layer) * load<i32>(layer, LAYER_BLOCK_SIZE)) << 2;
  s.queries = memory + 64;
  s.states = s.queries + column * <usize>load<i32>(layer, LAYER_HEAD_SIZE);
  s.otherStates = s.states + states;
  s.scores = s.otherStates + states;
  s.queryScales = s.scores + <usize>rows * s.scoreStride;
  s.weightScales = s.queryScales + column;
  s.valueScales = s.weightScales + column;
  s.pieces = s.valueScales + s.scoreStride;
  s.wide = (s.pieces + (<usize>blocksPerTile(layer) << 2) + 15) & ~15;
  return s;
}
