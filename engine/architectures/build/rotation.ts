import { STEP_INPUT } from '../../importer/imported-model.js';
import { TensorProto_DataType as Type } from '../../importer/onnx/onnx_pb.js';
import type { Rotary } from '../decoder.js';
import type { GraphBuilder } from './graph-builder.js';
import { scaled } from './layers.js';

/**
 * Whether the graph must rotate: the attention kernel has one table for each layer, and LongRoPE
 * has other angles for sequences beyond a length. Where no such sequence is served, one does.
 */
export function rotatesInGraph({ long }: Rotary, servedLength: number): boolean {
  return long !== null && servedLength > long.beyond;
}

/**
 * Rotates queries or keys `[1, T, heads * headSize]`, each token by the angles for the length of
 * its sequence, tokens of later steps included (`STEP_INPUT.sequenceLengths`). The angles are
 * computed once in a step and passed on.
 */
export function rotated(
  b: GraphBuilder,
  x: string,
  rotary: Rotary,
  { heads, headSize }: { readonly heads: number; readonly headSize: number },
): string {
  const { cos, sin, rows } = angles(b, rotary);
  const isPart = rotary.dim < headSize;
  return b.contrib('RotaryEmbedding', `${x}/rotated`, [x, rows, cos, sin], {
    interleaved: rotary.interleaved ? 1 : 0,
    num_heads: heads,
    rotary_embedding_dim: isPart ? rotary.dim : 0,
  });
}

/** Cosines and sines `[T, dim / 2]` of the step's tokens, and the numbers of its rows `[1, T]`. */
function angles(
  b: GraphBuilder,
  { frequencies, long, magnitude }: Rotary,
): Readonly<Record<'cos' | 'sin' | 'rows', string>> {
  if (!long) throw new Error('rotations of one table are left to the attention kernel');
  const at = (part: string): string => `rotation.${part}`;
  const { positionIds, sequenceLengths } = STEP_INPUT;
  const column = b.ints('column', [-1, 1]);
  const beyond = b.node('Greater', at('is_long'), [
    b.node('Reshape', at('lengths'), [sequenceLengths, column]),
    b.ints(at('beyond'), [long.beyond], []),
  ]);
  const chosen = b.node('Where', at('frequencies'), [
    beyond,
    b.floats(at('long'), long.frequencies),
    b.floats(at('short'), frequencies),
  ]);
  const positions = b.node('Cast', at('positions'), [positionIds], { to: Type.FLOAT });
  const turns = b.node('Mul', at('angles'), [
    b.node('Reshape', at('position_column'), [positions, column]),
    chosen,
  ]);
  const zero = b.ints('zero_int', [0], []);
  // (From the shape alone, so that each segment counts for itself: `cut.ts`.)
  const shape = b.node('Shape', at('shape'), [positionIds]);
  const count = b.node('Gather', at('count'), [shape, b.ints('one_int', [1], [])]);
  const numbers = b.node('Range', at('numbers'), [zero, count, b.ints('one_int', [1], [])]);
  return {
    cos: scaled(b, b.node('Cos', at('cos'), [turns]), magnitude),
    sin: scaled(b, b.node('Sin', at('sin'), [turns]), magnitude),
    rows: b.node('Unsqueeze', at('rows'), [numbers, b.ints('first_axis', [0])]),
  };
}
