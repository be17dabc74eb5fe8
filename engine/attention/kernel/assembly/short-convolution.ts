import {
  CONVOLUTION_BIAS, CONVOLUTION_CHANNELS, CONVOLUTION_INPUT, CONVOLUTION_OUTPUT, CONVOLUTION_SILU, CONVOLUTION_TAPS, CONVOLUTION_WEIGHT,
  RECURRENT_COUNT, RECURRENT_FIRST, RECURRENT_STATE, RECURRENT_TOTAL,
} from './recurrent-layout';
import { exp2, LOG2_E } from './math';

/** Bytes of a channel's tokens that are convolved at a time: the scratch holds no more. */
const MOST_BYTES: usize = 2048;

/**
 * Takes tokens into the states of channels `begin` to `end`. Each output has the same sums in the
 * same order, wherever it is among the tokens.
 *
 * @param scratch room for `taps + 515` floats
 */
export function convolve(layer: usize, begin: i32, end: i32, scratch: usize): void {
  const taps = load<i32>(layer, CONVOLUTION_TAPS);
  const past = <usize>(taps - 1) << 2;
  const total = load<i32>(layer, RECURRENT_TOTAL);
  const first = load<i32>(layer, RECURRENT_FIRST);
  const all = <usize>load<i32>(layer, RECURRENT_COUNT) << 2;
  const biases = <usize>load<u32>(layer, CONVOLUTION_BIAS);
  const last = min(end, load<i32>(layer, CONVOLUTION_CHANNELS));
  for (let channel = begin; channel < last; channel++) {
    const row = <usize>(channel * total + first) << 2;
    const state = <usize>load<u32>(layer, RECURRENT_STATE) + <usize>channel * past;
    const weights = <usize>load<u32>(layer, CONVOLUTION_WEIGHT) + (<usize>(channel * taps) << 2);
    const bias = biases != 0 ? v128.load32_splat(biases + (<usize>channel << 2)) : f32x4.splat(0);
    for (let from: usize = 0; from < all; from += MOST_BYTES) {
      const bytes = min(all - from, MOST_BYTES);
      memory.copy(scratch, state, past);
      memory.copy(scratch + past, <usize>load<u32>(layer, CONVOLUTION_INPUT) + row + from, bytes);
      convolveRow(layer, scratch, past, weights, bias, <usize>load<u32>(layer, CONVOLUTION_OUTPUT) + row + from, bytes);
      memory.copy(state, scratch + bytes, past);
    }
  }
}

/** @param row the last tokens before, `past` bytes, and those to convolve */
// @ts-ignore: decorator
@inline
function convolveRow(layer: usize, row: usize, past: usize, weights: usize, bias: v128, output: usize, bytes: usize): void {
  const silu = load<i32>(layer, CONVOLUTION_SILU) != 0;
  for (let t: usize = 0; t < bytes; t += 16) {
    let sum = bias;
    for (let j: usize = 0; j <= past; j += 4) {
      sum = f32x4.relaxed_madd(v128.load(row + t + j), v128.load32_splat(weights + j), sum);
    }
    if (silu) sum = activated(sum);
    // Behind the last token is no room.
    if (t + 16 <= bytes) v128.store(output + t, sum);
    else storeSome(output + t, sum, bytes - t);
  }
}

/** x / (1 + e^-x) */
// @ts-ignore: decorator
@inline
function activated(x: v128): v128 {
  const power = f32x4.relaxed_min(f32x4.mul(x, f32x4.splat(-LOG2_E)), f32x4.splat(126));
  return f32x4.div(x, f32x4.add(f32x4.splat(1), exp2(power)));
}

/** Stores the first one to three floats. */
// @ts-ignore: decorator
@inline
function storeSome(at: usize, x: v128, bytes: usize): void {
  store<f32>(at, f32x4.extract_lane(x, 0));
  if (bytes > 4) store<f32>(at + 4, f32x4.extract_lane(x, 1));
  if (bytes > 8) store<f32>(at + 8, f32x4.extract_lane(x, 2));
}
