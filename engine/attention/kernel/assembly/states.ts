import { LAYER_HEAD_SIZE } from './layout';
import { exp2Of } from './math';

// The state of a row's online softmax: `[headSize]` weighted values, then the running maximum and
// the running sum of weights. States of an array are `stateBytes` apart. They may lie in memory
// that has grown since this thread has begun, while memory.fill and memory.copy still know its
// former end.

/**
 * Running maximum of a row without scores so far. Finite, so that the difference of two of them is
 * not NaN.
 */
// @ts-ignore: decorator
@inline
const NOTHING_SEEN: f32 = -1e30;

// @ts-ignore: decorator
@inline
export function stateBytes(layer: usize): usize {
  return <usize>(load<i32>(layer, LAYER_HEAD_SIZE) + 4) << 2;
}

/** Address of a state's maximum; its sum is the next word. */
// @ts-ignore: decorator
@inline
export function maximumOf(state: usize, headSize: i32): usize {
  return state + (<usize>headSize << 2);
}

/** A state that has seen nothing. */
export function clear(state: usize, headSize: i32): void {
  const zero = f32x4.splat(0);
  for (let i: usize = 0; i < <usize>headSize << 2; i += 16) v128.store(state + i, zero);
  store<f32>(maximumOf(state, headSize), NOTHING_SEEN);
  store<f32>(maximumOf(state, headSize), 0, 4);
}

/** A state that has seen a sink: a logit without a value. */
export function clearToSink(state: usize, headSize: i32, sink: f32): void {
  clear(state, headSize);
  store<f32>(maximumOf(state, headSize), sink);
  store<f32>(maximumOf(state, headSize), 1, 4);
}

/**
 * Adds the states of a later span to those of all spans before it. A state that has seen nothing
 * changes no bit of another, so it does not matter which spans a row was masked in.
 */
export function addStates(layer: usize, total: usize, states: usize, rows: i32): void {
  const headSize = load<i32>(layer, LAYER_HEAD_SIZE);
  const bytes = stateBytes(layer);
  for (let row = 0; row < rows; row++) {
    addState(total, states, headSize);
    total += bytes;
    states += bytes;
  }
}

function addState(total: usize, state: usize, headSize: i32): void {
  const added = load<f32>(maximumOf(state, headSize));
  if (added == NOTHING_SEEN) return;
  const before = load<f32>(maximumOf(total, headSize));
  if (before == NOTHING_SEEN) {
    copyState(total, state, headSize);
    return;
  }
  const now = max(before, added);
  const shrink = exp2Of(before - now);
  const weight = exp2Of(added - now);
  const sums = maximumOf(total, headSize);
  store<f32>(sums, now);
  store<f32>(sums, load<f32>(sums, 4) * shrink + load<f32>(maximumOf(state, headSize), 4) * weight, 4);
  const a = f32x4.splat(shrink);
  const b = f32x4.splat(weight);
  for (let i: usize = 0; i < <usize>headSize << 2; i += 16) {
    v128.store(total + i, f32x4.relaxed_madd(v128.load(state + i), b, f32x4.mul(v128.load(total + i), a)));
  }
}

function copyState(target: usize, source: usize, headSize: i32): void {
  for (let i: usize = 0; i < <usize>(headSize + 4) << 2; i += 16) v128.store(target + i, v128.load(source + i));
}
