import { Tensor } from 'onnxruntime-node';

/** Rows of one sequence among those of a step. */
export interface Rows {
  readonly start: number;
  readonly count: number;
  /** Of the step. */
  readonly total: number;
}

/** The place of tokens in a tensor: `unit` entries along `axis` for each. */
export interface TokenPlace {
  readonly axis: number;
  readonly unit: number;
}

/**
 * Finds the tokens' place from a tensor's sizes in two steps.
 *
 * @returns null when both sizes are equal; undefined when the sizes do not follow the tokens, as
 *   for a list of selected ones
 */
export function tokenPlace(
  a: readonly number[],
  totalA: number,
  b: readonly number[],
  totalB: number,
): TokenPlace | null | undefined {
  if (a.length !== b.length) return undefined;
  const changed = a.flatMap((size, axis) => (size === b[axis] ? [] : [axis]));
  if (changed.length === 0) return null;
  const [axis] = changed;
  const unit = a[axis] / totalA;
  const fits = Number.isInteger(unit) && b[axis] === unit * totalB;
  return changed.length === 1 && fits ? { axis, unit } : undefined;
}

type Numbers = Float32Array | BigInt64Array | Int32Array | Uint8Array | Int8Array;

export function numbersOf(tensor: Tensor): Numbers {
  const { data } = tensor;
  if (ArrayBuffer.isView(data)) return data as Numbers;
  throw new Error(`a tensor of ${tensor.type}`);
}

/** Ranges of elements that belong to some rows. */
function* runs(
  dims: readonly number[],
  { axis, unit }: TokenPlace,
  { start, count }: Rows,
): Generator<[number, number]> {
  const inner = dims.slice(axis + 1).reduce((a, b) => a * b, 1);
  const outer = dims.slice(0, axis).reduce((a, b) => a * b, 1);
  for (let i = 0; i < outer; i++) {
    const from = (i * dims[axis] + start * unit) * inner;
    yield [from, from + count * unit * inner];
  }
}

/** Copies some rows of a tensor into a new tensor. */
export function takeRows(tensor: Tensor, place: TokenPlace, rows: Rows): Tensor {
  const source = numbersOf(tensor);
  const dims = tensor.dims.map((size, axis) =>
    axis === place.axis ? rows.count * place.unit : size,
  );
  const size = dims.reduce((a, b) => a * b, 1);
  const data = source.slice(0, size);
  let to = 0;
  for (const [start, end] of runs(tensor.dims, place, rows)) {
    data.set(source.subarray(start, end) as never, to);
    to += end - start;
  }
  return new Tensor(tensor.type, data as never, dims);
}

/** Writes rows from `takeRows` into a tensor. */
export function putRows(tensor: Tensor, place: TokenPlace, rows: Rows, given: Tensor): void {
  const target = numbersOf(tensor);
  const source = numbersOf(given);
  let from = 0;
  for (const [start, end] of runs(tensor.dims, place, rows)) {
    target.set(source.subarray(from, from + end - start) as never, start);
    from += end - start;
  }
}

/**
 * The largest difference between two tensors of equal size, relative to the largest number of the
 * first.
 */
export function difference(a: Tensor, b: Tensor): number {
  const [x, y] = [numbersOf(a), numbersOf(b)];
  if (x.length !== y.length) return Number.POSITIVE_INFINITY;
  let worst = 0;
  let largest = 0;
  for (let i = 0; i < x.length; i++) {
    const [p, q] = [Number(x[i]), Number(y[i])];
    if (Object.is(p, q)) continue;
    const apart = Math.abs(p - q);
    worst = Math.max(worst, Number.isNaN(apart) ? Number.POSITIVE_INFINITY : apart);
  }
  if (worst === 0) return 0;
  for (const value of x) largest = Math.max(largest, Math.abs(Number(value)));
  return largest > 0 ? worst / largest : Number.POSITIVE_INFINITY;
}
