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
  let i = 0;
  if (!interleaved) {
    // Two operations and no fused one: the same bits as below.
    const reach = <usize>half << 2;
    for (; i + 4 <= half; i += 4) {
      const at = <usize>i << 2;
      const c = v128.load(<usize>cos + row + at), s = v128.load(<usize>sin + row + at);
      const a = v128.load(head + at), b = v128.load(head + reach + at);
      v128.store(head + at, f32x4.sub(f32x4.mul(a, c), f32x4.mul(b, s)));
      v128.store(head + reach + at, f32x4.add(f32x4.mul(b, c), f32x4.mul(a, s)));
    }
  }
  for (; i < half; i++) {
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
