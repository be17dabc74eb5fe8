import {
  ATTENTION_FACTORS, ATTENTION_FACTOR_HEAD, ATTENTION_FACTOR_ROW, ATTENTION_FACTOR_TOKEN, ATTENTION_KEY, ATTENTION_KEY_SIZE,
  ATTENTION_NUM_HEADS, ATTENTION_NUM_KEY_HEADS, ATTENTION_NUM_QUERY_HEADS, ATTENTION_OUTPUT, ATTENTION_QUERY, ATTENTION_RATES,
  ATTENTION_RATE_HEAD, ATTENTION_RATE_TOKEN, ATTENTION_SCALE, ATTENTION_VALUE, ATTENTION_VALUE_SIZE, RECURRENT_COUNT, RECURRENT_FIRST,
  RECURRENT_STATE,
} from './recurrent-layout';

/**
 * Takes tokens into the state of one head, a panel of its columns after the other: 16 columns of
 * 128 rows are 8 KiB, and stay in the first cache while all tokens pass. The columns of a state do
 * not depend on one another.
 */
export function attendLinearly(layer: usize, head: i32): void {
  const valueSize = load<i32>(layer, ATTENTION_VALUE_SIZE);
  let column = 0;
  for (; column + 16 <= valueSize; column += 16) panel16(layer, head, column);
  for (; column + 4 <= valueSize; column += 4) narrowPanel<v128>(layer, head, column);
  for (; column < valueSize; column++) narrowPanel<f32>(layer, head, column);
}

/** Address of a token's part of an array `[T, heads, size]`, for one head. */
// @ts-ignore: decorator
@inline
function rowOf(array: u32, token: i32, heads: i32, head: i32, size: i32): usize {
  return <usize>array + (<usize>((token * heads + head) * size) << 2);
}

// @ts-ignore: decorator
@inline
function factorsOf(layer: usize, token: i32, head: i32): usize {
  return <usize>load<u32>(layer, ATTENTION_FACTORS) + <usize>token * <usize>load<u32>(layer, ATTENTION_FACTOR_TOKEN)
    + <usize>head * <usize>load<u32>(layer, ATTENTION_FACTOR_HEAD);
}

// @ts-ignore: decorator
@inline
function rateOf(layer: usize, token: i32, head: i32): usize {
  return <usize>load<u32>(layer, ATTENTION_RATES) + <usize>token * <usize>load<u32>(layer, ATTENTION_RATE_TOKEN)
    + <usize>head * <usize>load<u32>(layer, ATTENTION_RATE_HEAD);
}

function panel16(layer: usize, head: i32, column: i32): void {
  const keySize = load<i32>(layer, ATTENTION_KEY_SIZE);
  const valueSize = load<i32>(layer, ATTENTION_VALUE_SIZE);
  const numHeads = load<i32>(layer, ATTENTION_NUM_HEADS);
  const numQueries = load<i32>(layer, ATTENTION_NUM_QUERY_HEADS);
  const numKeys = load<i32>(layer, ATTENTION_NUM_KEY_HEADS);
  const numOutputs = max(numHeads, numQueries);
  const perHead = numOutputs / numHeads;
  const isDelta = load<u32>(layer, ATTENTION_RATES) != 0;
  const factorRow = <usize>load<u32>(layer, ATTENTION_FACTOR_ROW);
  const scale = f32x4.splat(load<f32>(layer, ATTENTION_SCALE));
  const stride = <usize>valueSize << 2;
  const state = <usize>load<u32>(layer, RECURRENT_STATE) + (<usize>(head * keySize * valueSize + column) << 2);
  const end = state + <usize>keySize * stride;
  const first = load<i32>(layer, RECURRENT_FIRST);
  const last = first + load<i32>(layer, RECURRENT_COUNT);
  for (let t = first; t < last; t++) {
    const keys = rowOf(load<u32>(layer, ATTENTION_KEY), t, numKeys, head * numKeys / numHeads, keySize);
    const value = rowOf(load<u32>(layer, ATTENTION_VALUE), t, numHeads, head, valueSize) + (<usize>column << 2);
    const factors = factorsOf(layer, t, head);
    let d0 = v128.load(value), d1 = v128.load(value, 16), d2 = v128.load(value, 32), d3 = v128.load(value, 48);
    if (isDelta) {
      let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0;
      let k = keys, f = factors;
      for (let s = state; s < end; s += stride, k += 4, f += factorRow) {
        const x = f32x4.mul(v128.load32_splat(k), v128.load32_splat(f));
        a0 = f32x4.relaxed_madd(v128.load(s), x, a0);
        a1 = f32x4.relaxed_madd(v128.load(s, 16), x, a1);
        a2 = f32x4.relaxed_madd(v128.load(s, 32), x, a2);
        a3 = f32x4.relaxed_madd(v128.load(s, 48), x, a3);
      }
      const rate = v128.load32_splat(rateOf(layer, t, head));
      d0 = f32x4.mul(rate, f32x4.sub(d0, a0));
      d1 = f32x4.mul(rate, f32x4.sub(d1, a1));
      d2 = f32x4.mul(rate, f32x4.sub(d2, a2));
      d3 = f32x4.mul(rate, f32x4.sub(d3, a3));
    }
    let out = head * perHead;
    let q = rowOf(load<u32>(layer, ATTENTION_QUERY), t, numQueries, out * numQueries / numOutputs, keySize);
    let o0 = f32x4.splat(0), o1 = o0, o2 = o0, o3 = o0;
    let k = keys, f = factors;
    for (let s = state; s < end; s += stride, k += 4, f += factorRow, q += 4) {
      const key = v128.load32_splat(k), factor = v128.load32_splat(f), query = v128.load32_splat(q);
      const s0 = f32x4.relaxed_madd(key, d0, f32x4.mul(factor, v128.load(s)));
      const s1 = f32x4.relaxed_madd(key, d1, f32x4.mul(factor, v128.load(s, 16)));
      const s2 = f32x4.relaxed_madd(key, d2, f32x4.mul(factor, v128.load(s, 32)));
      const s3 = f32x4.relaxed_madd(key, d3, f32x4.mul(factor, v128.load(s, 48)));
      v128.store(s, s0); v128.store(s, s1, 16); v128.store(s, s2, 32); v128.store(s, s3, 48);
      o0 = f32x4.relaxed_madd(query, s0, o0); o1 = f32x4.relaxed_madd(query, s1, o1);
      o2 = f32x4.relaxed_madd(query, s2, o2); o3 = f32x4.relaxed_madd(query, s3, o3);
    }
    for (let i = 0; ;) {
      const output = rowOf(load<u32>(layer, ATTENTION_OUTPUT), t, numOutputs, out, valueSize) + (<usize>column << 2);
      v128.store(output, f32x4.mul(scale, o0)); v128.store(output, f32x4.mul(scale, o1), 16);
      v128.store(output, f32x4.mul(scale, o2), 32); v128.store(output, f32x4.mul(scale, o3), 48);
      if (++i == perHead) break;
      // Further queries read the new state once more.
      out += 1;
      q = rowOf(load<u32>(layer, ATTENTION_QUERY), t, numQueries, out * numQueries / numOutputs, keySize);
      o0 = f32x4.splat(0); o1 = o0; o2 = o0; o3 = o0;
      for (let s = state; s < end; s += stride, q += 4) {
        const query = v128.load32_splat(q);
        o0 = f32x4.relaxed_madd(query, v128.load(s), o0); o1 = f32x4.relaxed_madd(query, v128.load(s, 16), o1);
        o2 = f32x4.relaxed_madd(query, v128.load(s, 32), o2); o3 = f32x4.relaxed_madd(query, v128.load(s, 48), o3);
      }
    }
  }
}

/** One float in all lanes. */
// @ts-ignore: decorator
@inline
function splat<T>(x: usize): T {
  return isVector<T>() ? v128.load32_splat(x) : load<f32>(x);
}

// @ts-ignore: decorator
@inline
function zero<T>(): T {
  return isVector<T>() ? f32x4.splat(0) : <T>0;
}

// @ts-ignore: decorator
@inline
function mul<T>(a: T, b: T): T {
  return isVector<T>() ? f32x4.mul(a, b) : a * b;
}

// @ts-ignore: decorator
@inline
function sub<T>(a: T, b: T): T {
  return isVector<T>() ? f32x4.sub(a, b) : a - b;
}

/** `a * b + c` */
// @ts-ignore: decorator
@inline
function madd<T>(a: T, b: T, c: T): T {
  return isVector<T>() ? f32x4.relaxed_madd(a, b, c) : a * b + c;
}

/** The same for as many columns as T has lanes: four (v128), or one (f32). */
function narrowPanel<T>(layer: usize, head: i32, column: i32): void {
  const keySize = load<i32>(layer, ATTENTION_KEY_SIZE);
  const valueSize = load<i32>(layer, ATTENTION_VALUE_SIZE);
  const numHeads = load<i32>(layer, ATTENTION_NUM_HEADS);
  const numQueries = load<i32>(layer, ATTENTION_NUM_QUERY_HEADS);
  const numKeys = load<i32>(layer, ATTENTION_NUM_KEY_HEADS);
  const numOutputs = max(numHeads, numQueries);
  const perHead = numOutputs / numHeads;
  const factorRow = <usize>load<u32>(layer, ATTENTION_FACTOR_ROW);
  const scale = splat<T>(layer + ATTENTION_SCALE);
  const stride = <usize>valueSize << 2;
  const state = <usize>load<u32>(layer, RECURRENT_STATE) + (<usize>(head * keySize * valueSize + column) << 2);
  const end = state + <usize>keySize * stride;
  const first = load<i32>(layer, RECURRENT_FIRST);
  const last = first + load<i32>(layer, RECURRENT_COUNT);
  for (let t = first; t < last; t++) {
    const keys = rowOf(load<u32>(layer, ATTENTION_KEY), t, numKeys, head * numKeys / numHeads, keySize);
    const factors = factorsOf(layer, t, head);
    let d = load<T>(rowOf(load<u32>(layer, ATTENTION_VALUE), t, numHeads, head, valueSize) + (<usize>column << 2));
    let k = keys, f = factors;
    if (load<u32>(layer, ATTENTION_RATES) != 0) {
      let a = zero<T>();
      for (let s = state; s < end; s += stride, k += 4, f += factorRow) a = madd<T>(load<T>(s), mul<T>(splat<T>(k), splat<T>(f)), a);
      d = mul<T>(splat<T>(rateOf(layer, t, head)), sub<T>(d, a));
    }
    k = keys; f = factors;
    for (let s = state; s < end; s += stride, k += 4, f += factorRow) {
      store<T>(s, madd<T>(splat<T>(k), d, mul<T>(splat<T>(f), load<T>(s))));
    }
    for (let out = head * perHead; out < (head + 1) * perHead; out++) {
      let q = rowOf(load<u32>(layer, ATTENTION_QUERY), t, numQueries, out * numQueries / numOutputs, keySize);
      let o = zero<T>();
      for (let s = state; s < end; s += stride, q += 4) o = madd<T>(splat<T>(q), load<T>(s), o);
      const output = rowOf(load<u32>(layer, ATTENTION_OUTPUT), t, numOutputs, out, valueSize) + (<usize>column << 2);
      store<T>(output, mul<T>(scale, o));
    }
  }
}
