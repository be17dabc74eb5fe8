import { LAYER_COS, LAYER_INTERLEAVED, LAYER_ROTARY_DIM, LAYER_SIN } from './layout';

/**
 * Applies the rotary embedding of a position to one head of float32 numbers, in place, if the layer
 * has one (Su et al. 2021, RoFormer).
 */
export function rotate(layer: usize, head: usize, position: i32): void {
  const cos = load<u32>(layer, LAYER_COS);
  if (cos == 0) return;
  const sin = load<u32>(layer, LAYER_SIN);
  const half = load<i32>(layer, LAYER_ROTARY_DIM) >> 1;
  const interleaved = load<i32>(layer, LAYER_INTERLEAVED) != 0;
  const row = <usize>(position * half) << 2;
  for (let i = 0; i < half; i++) {
    const first = head + (<usize>(interleaved ? 2 * i : i) << 2);
    const second = head + (<usize>(interleaved ? 2 * i + 1 : i + half) << 2);
    const c = load<f32>(<usize>cos + row + (<usize>i << 2));
    const s = load<f32>(<usize>sin + row + (<usize>i << 2));
    const a = load<f32>(first);
    const b = load<f32>(second);
    store<f32>(first, a * c - b * s);
    store<f32>(second, b * c + a * s);
  }
}
