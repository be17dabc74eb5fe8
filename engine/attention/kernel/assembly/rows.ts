import { isInteger } from './formats';
import {
  LAYER_BLOCK_SIZE, LAYER_FORMAT, LAYER_HEAD_SIZE, LAYER_NUM_HEADS, LAYER_NUM_KV_HEADS, LAYER_SCALE, LAYER_SINKS, LAYER_WINDOW,
  STEP_CONTEXT_LENGTHS, STEP_LAST_SEEN, STEP_OUTPUT, STEP_QUERY, STEP_QUERY_STARTS, STEP_TILES, STEP_TOKEN_BYTES,
  TILES_PER_SPAN,
} from './layout';
import { LOG2_E } from './math';
import { TILE_BYTES, TILE_FIRST_QUERY, TILE_NUM_QUERIES, TILE_SEQUENCE } from './plan-layout';
import { quantizeQuery } from './quantize';
import { rotate } from './rotary';
import { blocksPerTile } from './scratch';
import { clear, clearToSink, maximumOf, stateBytes } from './states';

// The rows of a query tile; row = query * group + head of the group.

/** Query heads of a KV head. */
// @ts-ignore: decorator
@inline
export function groupOf(layer: usize): i32 {
  return load<i32>(layer, LAYER_NUM_HEADS) / load<i32>(layer, LAYER_NUM_KV_HEADS);
}

/** Address of the query tile whose index is an entry of a list. */
// @ts-ignore: decorator
@inline
export function tileOf(step: usize, entry: usize): usize {
  return <usize>load<u32>(step, STEP_TILES) + <usize>load<u32>(entry) * TILE_BYTES;
}

/** Place of a tile's first query among those of the step. */
// @ts-ignore: decorator
@inline
function firstQueryOf(step: usize, tile: usize): i32 {
  const starts = <usize>load<u32>(step, STEP_QUERY_STARTS) + (<usize>load<i32>(tile, TILE_SEQUENCE) << 2);
  return load<i32>(starts) + load<i32>(tile, TILE_FIRST_QUERY);
}

/** Tokens of a tile's sequence, with those of the step. */
// @ts-ignore: decorator
@inline
export function contextOf(step: usize, tile: usize): i32 {
  return load<i32>(<usize>load<u32>(step, STEP_CONTEXT_LENGTHS) + (<usize>load<i32>(tile, TILE_SEQUENCE) << 2));
}

/** Position of the first query that the tile's sequence has in the step. */
export function pastOf(step: usize, tile: usize): i32 {
  const starts = <usize>load<u32>(step, STEP_QUERY_STARTS) + (<usize>load<i32>(tile, TILE_SEQUENCE) << 2);
  return contextOf(step, tile) - (load<i32>(starts, 4) - load<i32>(starts));
}

/** Position of a tile's first query. */
// @ts-ignore: decorator
@inline
export function firstPositionOf(step: usize, tile: usize): i32 {
  return pastOf(step, tile) + load<i32>(tile, TILE_FIRST_QUERY);
}

/** Where the last positions are that a tile's queries attend to; 0: their own. */
export function lastSeenOf(step: usize, tile: usize): usize {
  const ofStep = <usize>load<u32>(step, STEP_LAST_SEEN);
  return ofStep == 0 ? 0 : ofStep + (<usize>firstQueryOf(step, tile) << 2);
}

/** The last position that any query of a tile attends to. */
export function lastPositionOf(step: usize, tile: usize): i32 {
  const queries = load<i32>(tile, TILE_NUM_QUERIES);
  const lastSeen = lastSeenOf(step, tile);
  let last = firstPositionOf(step, tile) + queries - 1;
  if (lastSeen == 0) return last;
  for (let i = 0; i < queries; i++) last = max(last, load<i32>(lastSeen + (<usize>i << 2)));
  return last;
}

/** The first token that a query at `position` attends to. */
// @ts-ignore: decorator
@inline
export function firstTokenOf(layer: usize, position: i32): i32 {
  const window = load<i32>(layer, LAYER_WINDOW);
  return window > 0 ? max(0, position - window + 1) : 0;
}

/** Tokens of a span of the context. */
// @ts-ignore: decorator
@inline
export function spanTokens(layer: usize): i32 {
  return TILES_PER_SPAN * blocksPerTile(layer) * load<i32>(layer, LAYER_BLOCK_SIZE);
}

/** Bytes from a token's Q, K or V to the next one's. */
// @ts-ignore: decorator
@inline
export function tokenBytesOf(step: usize, heads: i32, headSize: i32): usize {
  const packed = <usize>load<u32>(step, STEP_TOKEN_BYTES);
  return packed != 0 ? packed : <usize>(heads * headSize) << 2;
}

/**
 * Copies the tile's queries, rotated and scaled: scaling them once saves scaling every score. For
 * integer pages, they are then quantized to int16 in place, and `queryScales` receives their
 * scales.
 */
export function loadQueries(layer: usize, step: usize, tile: usize, kvHead: i32, queries: usize, queryScales: usize): void {
  const integers = isInteger(load<i32>(layer, LAYER_FORMAT));
  const headSize = load<i32>(layer, LAYER_HEAD_SIZE);
  const heads = load<i32>(layer, LAYER_NUM_HEADS);
  const group = groupOf(layer);
  const firstQuery = firstQueryOf(step, tile);
  const firstPosition = firstPositionOf(step, tile);
  const scale = f32x4.splat(load<f32>(layer, LAYER_SCALE) * LOG2_E);
  const rowBytes = <usize>headSize << 2;
  const tokenBytes = tokenBytesOf(step, heads, headSize);
  let target = queries;
  for (let i = 0; i < load<i32>(tile, TILE_NUM_QUERIES); i++) {
    let source = <usize>load<u32>(step, STEP_QUERY) + <usize>(firstQuery + i) * tokenBytes + <usize>(kvHead * group) * rowBytes;
    for (let h = 0; h < group; h++) {
      // Not memory.copy: that checks against the memory size known to this thread, although the
      // memory may have grown since.
      for (let d: usize = 0; d < rowBytes; d += 16) v128.store(target + d, v128.load(source + d));
      rotate(layer, target, firstPosition + i);
      for (let d: usize = 0; d < rowBytes; d += 16) v128.store(target + d, f32x4.mul(v128.load(target + d), scale));
      if (integers) store<f32>(queryScales + (<usize>(i * group + h) << 2), quantizeQuery(target, headSize));
      target += rowBytes;
      source += rowBytes;
    }
  }
}

/**
 * Begins the softmax of a span. A row sees its sink in the span of the first token that it attends
 * to: the sink precedes all tokens, and which spans are computed beside a row must not matter.
 */
export function beginStates(layer: usize, step: usize, tile: usize, kvHead: i32, span: i32, states: usize): void {
  const sinks = <usize>load<u32>(layer, LAYER_SINKS);
  const headSize = load<i32>(layer, LAYER_HEAD_SIZE);
  const group = groupOf(layer);
  const firstPosition = firstPositionOf(step, tile);
  for (let row = 0; row < load<i32>(tile, TILE_NUM_QUERIES) * group; row++) {
    if (sinks != 0 && firstTokenOf(layer, firstPosition + row / group) / spanTokens(layer) == span) {
      clearToSink(states, headSize, load<f32>(sinks + (<usize>(kvHead * group + row % group) << 2)) * LOG2_E);
    } else {
      clear(states, headSize);
    }
    states += stateBytes(layer);
  }
}

export function storeOutput(layer: usize, step: usize, tile: usize, kvHead: i32, states: usize): void {
  const headSize = load<i32>(layer, LAYER_HEAD_SIZE);
  const heads = load<i32>(layer, LAYER_NUM_HEADS);
  const group = groupOf(layer);
  const firstQuery = firstQueryOf(step, tile);
  const rowBytes = <usize>headSize << 2;
  let source = states;
  for (let i = 0; i < load<i32>(tile, TILE_NUM_QUERIES); i++) {
    let target = <usize>load<u32>(step, STEP_OUTPUT) + <usize>((firstQuery + i) * heads + kvHead * group) * rowBytes;
    for (let h = 0; h < group; h++) {
      const inverse = f32x4.splat(1 / load<f32>(maximumOf(source, headSize), 4));
      for (let d: usize = 0; d < rowBytes; d += 16) v128.store(target + d, f32x4.mul(v128.load(source + d), inverse));
      source += stateBytes(layer);
      target += rowBytes;
    }
  }
}
