import { STEP_INPUT } from '../../importer/imported-model.js';
import { TensorProto_DataType as Type } from '../../importer/onnx/onnx_pb.js';
import type { GraphBuilder } from './graph-builder.js';
import { heads, parts, tokens } from './layers.js';

/** Floats by which each head grows: the kernel takes multiples of 8. */
export const MARK_SIZE = 8;
/**
 * What queries have there, and what the first token's key has: the product is a score of -65,536
 * before its scale, whose share in any softmax is 0. Queries are rounded together with theirs, so
 * that it is small, and powers of 2 are exact in every format of the cache.
 */
const [QUERY_MARK, KEY_MARK] = [-(2 ** -4), 2 ** 17];

interface HeadSizes {
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly headSize: number;
}

type Heads = Readonly<Record<'query' | 'key' | 'value', string>>;

/**
 * Grows all heads by a mark, by which nothing attends to the first token of a sequence: a layer
 * that drafts has a row there, and the method has none.
 */
export function hideFirst(
  b: GraphBuilder,
  { query, key, value }: Heads,
  { numHeads, numKvHeads, headSize }: HeadSizes,
): Heads {
  const size = headSize + MARK_SIZE;
  const grow = (x: string, count: number, mark: number): string =>
    b.node('Pad', `${x}/marked`, [
      heads(b, x, count, headSize),
      b.ints('mark.pads', [0, 0, 0, 0, 0, 0, 0, MARK_SIZE]),
      b.float(`number.${mark}`, mark),
    ]);
  const back = (x: string, count: number): string => tokens(b, x, count * size);
  const keys = grow(key, numKvHeads, 0);
  return {
    query: back(grow(query, numHeads, QUERY_MARK), numHeads),
    key: back(b.node('Add', `${keys}/first`, [keys, marks(b, size)]), numKvHeads),
    value: back(grow(value, numKvHeads, 0), numKvHeads),
  };
}

/** The attention's output `[1, T, heads * (headSize + MARK_SIZE)]` without what grew. */
export function withoutMark(
  b: GraphBuilder,
  output: string,
  { numHeads, headSize }: HeadSizes,
): string {
  const grown = heads(b, output, numHeads, headSize + MARK_SIZE);
  return tokens(b, parts(b, grown, [headSize, MARK_SIZE])[0], numHeads * headSize);
}

/** `[1, T, 1, size]`: of the first token of a sequence, its mark; of others, zeros. */
function marks(b: GraphBuilder, size: number): string {
  const mark = new Float32Array(size).fill(KEY_MARK, size - MARK_SIZE);
  const isFirst = b.node('Equal', 'mark.is_first', [STEP_INPUT.positionIds, b.ints('zero', [0])]);
  const ones = b.node('Cast', 'mark.ones', [isFirst], { to: Type.FLOAT });
  const column = b.node('Unsqueeze', 'mark.column', [ones, b.ints('mark.axes', [2, 3])]);
  return b.node('Mul', 'mark', [column, b.floats(`mark.${size}`, mark)]);
}
