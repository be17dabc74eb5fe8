import { Tensor } from 'onnxruntime-node';
import { ADAPTER_INPUT, type AdapterTarget } from '../importer/imported-model.js';
import type { AdapterFeeds } from './adapter-feeds.js';
import type { PlacedUpdate } from './place-adapter.js';

/** An adapter in the stack. */
interface Layer {
  readonly content: string;
  /** The largest of its ranks: it takes as many in each target that any adapter changes. */
  readonly rank: number;
}

/** The matrices of all adapters for one target, one behind the other; empty where none has any. */
interface TargetStack {
  readonly target: AdapterTarget;
  /** `[ranks, inputs]` */
  first: Float32Array;
  /** `[ranks, outputs]` */
  second: Float32Array;
}

/** Ranks from the first to the last adapter of a step. */
interface Range {
  readonly start: number;
  readonly end: number;
}

/**
 * The matrices of the loaded adapters. Of each target, those of one adapter lie behind those of
 * another, rank by rank, zeros included where an adapter has less than its rank or nothing:
 *
 *     ranks    | adapter 0 | adapter 1 |    adapter 2    |
 *     a step               |<--- views that it is fed -->|
 *
 * A step with rows of adapters 1 and 2 gets views of these two, without copying, and a mask by
 * which each row keeps its own adapter's ranks. The ranks of an adapter between two others are
 * multiplied and masked, too, for nothing. Because all targets have the same ranks, they share the
 * mask.
 */
export class AdapterStack {
  readonly #targets: readonly TargetStack[];
  /** The widths of masks. */
  readonly #parts: readonly number[];
  #layers: readonly Layer[] = [];
  /** For targets that no adapter changes. */
  #zeros = new Float32Array(0);

  constructor(targets: readonly AdapterTarget[]) {
    const nothing = new Float32Array(0);
    this.#targets = targets.map((target) => ({ target, first: nothing, second: nothing }));
    this.#parts = [...new Set(targets.map(({ parts }) => parts))];
  }

  /** Memory that the matrices take. */
  get bytes(): number {
    const all = this.#targets.flatMap(({ first, second }) => [first, second]);
    return all.reduce((sum, { byteLength }) => sum + byteLength, 0);
  }

  /** A step that runs keeps what it was fed. @param placed by the target's position */
  add(content: string, rank: number, placed: ReadonlyMap<number, PlacedUpdate>): void {
    const { end: ranks } = this.#rangeOf(() => true);
    for (const [index, stack] of this.#targets.entries()) {
      const update = placed.get(index);
      if (!update && stack.first.length === 0) continue;
      const { inputs, outputs, parts } = stack.target;
      const [from, to] = [ranks * parts, (ranks + rank) * parts];
      stack.first = extended(stack.first, from * inputs, to * inputs, update?.first);
      stack.second = extended(stack.second, from * outputs, to * outputs, update?.second);
    }
    this.#layers = [...this.#layers, { content, rank }];
  }

  /** A step that runs keeps what it was fed. */
  remove(content: string): void {
    const { start, end } = this.#rangeOf((layer) => layer.content === content);
    for (const stack of this.#targets) {
      const { inputs, outputs, parts } = stack.target;
      const [from, to] = [start * parts, end * parts];
      stack.first = without(stack.first, from * inputs, to * inputs);
      stack.second = without(stack.second, from * outputs, to * outputs);
    }
    this.#layers = this.#layers.filter((layer) => layer.content !== content);
  }

  /**
   * What a step feeds.
   *
   * @param rows the rows of the step that have an adapter
   * @param contents the adapter of each of these rows
   */
  feeds(rows: readonly number[], contents: readonly string[]): AdapterFeeds {
    const used = new Set(contents);
    const range = this.#rangeOf(({ content }) => used.has(content));
    const feeds = new Map<string, Tensor>([
      [ADAPTER_INPUT.isAdapted, new Tensor('bool', [true], [])],
      [ADAPTER_INPUT.rows, new Tensor('int64', BigInt64Array.from(rows, BigInt), [rows.length])],
    ]);
    const masks = new Map(this.#parts.map((parts) => [parts, this.#mask(range, parts, contents)]));
    for (const { target, first, second } of this.#targets) {
      const { inputs, outputs, parts } = target;
      const [start, end] = [range.start * parts, range.end * parts];
      const view = (values: Float32Array, width: number): Tensor =>
        new Tensor('float32', this.#view(values, start * width, end * width), [end - start, width]);
      feeds.set(ADAPTER_INPUT.first(target), view(first, inputs));
      feeds.set(ADAPTER_INPUT.second(target), view(second, outputs));
      const mask = masks.get(parts);
      if (mask) feeds.set(ADAPTER_INPUT.mask(target), mask);
    }
    return feeds;
  }

  #rangeOf(isChosen: (layer: Layer) => boolean): Range {
    let [start, end, at] = [-1, 0, 0];
    for (const layer of this.#layers) {
      if (isChosen(layer)) {
        if (start < 0) start = at;
        end = at + layer.rank;
      }
      at += layer.rank;
    }
    return { start: Math.max(0, start), end };
  }

  #view(values: Float32Array, start: number, end: number): Float32Array {
    if (values.length > 0) return values.subarray(start, end);
    if (this.#zeros.length < end - start) this.#zeros = new Float32Array(end - start);
    return this.#zeros.subarray(0, end - start);
  }

  /** `[rows, ranks]`: which ranks of the range are those of each row's adapter. */
  #mask({ start, end }: Range, parts: number, contents: readonly string[]): Tensor {
    const width = (end - start) * parts;
    const own = new Map<string, number>();
    let at = 0;
    for (const { content, rank } of this.#layers) {
      own.set(content, at);
      at += rank;
    }
    const ranks = new Map(this.#layers.map(({ content, rank }) => [content, rank]));
    const mask = new Float32Array(contents.length * width);
    for (const [row, content] of contents.entries()) {
      const from = row * width + ((own.get(content) ?? 0) - start) * parts;
      mask.fill(1, from, from + (ranks.get(content) ?? 0) * parts);
    }
    return new Tensor('float32', mask, [contents.length, width]);
  }
}

/** `values` up to `from`, then `more`, with zeros around them up to `to`. */
function extended(
  values: Float32Array,
  from: number,
  to: number,
  more: Float32Array = new Float32Array(0),
): Float32Array {
  const all = new Float32Array(to);
  all.set(values);
  all.set(more, from);
  return all;
}

function without(values: Float32Array, start: number, end: number): Float32Array {
  if (values.length === 0) return values;
  const rest = new Float32Array(values.length - (end - start));
  rest.set(values.subarray(0, start));
  rest.set(values.subarray(end), start);
  return rest;
}
