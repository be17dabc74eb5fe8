import type { StoredTensor } from '../../checkpoint/stored-tensor.js';
import { makeValueInfo } from '../../importer/onnx/nodes.js';
import { type ModelProto, TensorProto_DataType as Type } from '../../importer/onnx/onnx_pb.js';
import type { Rotary } from '../decoder.js';
import type {
  Classifier,
  EncoderAttention,
  EncoderEmbedding,
  EncoderModel,
  SumNorms,
} from '../encoders/encoder.js';
import type { Linear, Norm } from '../weights.js';
import { GraphBuilder } from './graph-builder.js';
import {
  activated,
  heads,
  linearLayer,
  mlpLayer,
  normLayer,
  rowsOf,
  scaled,
  tokens,
} from './layers.js';
import { NEAR_SPANS, packedAttention, SPANS } from './packed-attention.js';
import { RotaryTables } from './rotary-tables.js';

/** Inputs and outputs of a packed encoder; `spans` and `near_spans` besides. */
export const PACKED = {
  /** Of all texts, one behind the other, `[1, T]`, as the next two. */
  inputIds: 'input_ids',
  /** From 0 in each text. */
  positionIds: 'position_ids',
  /** 1 in the second text of a pair. */
  types: 'token_type_ids',
  /** Each text's first row, `[texts]`. */
  starts: 'starts',
  /** `[1, T, hiddenSize]` */
  rows: 'rows',
  /** `[1, texts, labels]`, in the place of rows. */
  scores: 'scores',
} as const;

/**
 * The graph of an encoder over the rows of many texts, which lie one behind the other: nothing is
 * filled up. All but attention takes each row by itself. Weights stay in the checkpoint's files.
 *
 * @param tensors all that the description names, checked
 * @param longest tokens of the longest text
 */
export function buildEncoder(
  encoder: EncoderModel,
  tensors: ReadonlyMap<string, StoredTensor>,
  longest: number,
): ModelProto {
  const b = new GraphBuilder(tensors, true);
  const tables = new RotaryTables(longest);
  let x = embedded(b, encoder.embedding);
  for (const [layer, { attention, attentionNorms, mlp, mlpNorms }] of encoder.layers.entries()) {
    const attend = (input: string): string =>
      attentionLayer(b, input, attention, `layers.${layer}/attention`, tables);
    x = summed(b, x, attentionNorms, attend, `layers.${layer}/attended`);
    x = summed(b, x, mlpNorms, (input) => mlpLayer(b, input, mlp), `layers.${layer}/output`);
  }
  if (encoder.finalNorm) x = normLayer(b, x, encoder.finalNorm);
  const { classifier } = encoder;
  const output = classifier ? PACKED.scores : PACKED.rows;
  b.node('Identity', output, [classifier ? scoresOf(b, x, classifier) : x]);
  const { inputIds, positionIds, types, starts } = PACKED;
  const inputs = [inputIds, positionIds, types, starts, SPANS, NEAR_SPANS];
  return b.build(
    inputs.map((name) => makeValueInfo(name, Type.INT64)),
    [makeValueInfo(output, Type.FLOAT)],
    'octavo',
  );
}

function embedded(b: GraphBuilder, embedding: EncoderEmbedding): string {
  const { words, scale, positions, types, norm } = embedding;
  const parts = [scaled(b, rowsOf(b, words, PACKED.inputIds), scale)];
  if (positions) {
    const first = b.ints('first_position', [positions.first], []);
    const places = b.node('Add', 'places', [PACKED.positionIds, first]);
    parts.push(rowsOf(b, positions.weight, places));
  }
  if (types) {
    const isOne = types.shape[0] === 1;
    parts.push(rowsOf(b, types, isOne ? b.ints('one_type', [0]) : PACKED.types));
  }
  const sum = parts.reduce((a, part) => b.node('Add', 'embedding', [a, part]));
  return norm ? normLayer(b, sum, norm) : sum;
}

function summed(
  b: GraphBuilder,
  x: string,
  norms: SumNorms,
  block: (input: string) => string,
  name: string,
): string {
  const normed = (tensor: string, norm: Norm | null): string =>
    norm ? normLayer(b, tensor, norm) : tensor;
  const made = normed(block(normed(x, norms.before)), norms.after);
  return normed(b.node('Add', name, [x, made]), norms.sum);
}

function attentionLayer(
  b: GraphBuilder,
  x: string,
  attention: EncoderAttention,
  name: string,
  tables: RotaryTables,
): string {
  const { numHeads, numKvHeads, headSize, rotary } = attention;
  const made = (linear: Linear, norm: Norm | null, count: number): string => {
    const rows = linearLayer(b, x, linear);
    const normed = norm
      ? tokens(b, normLayer(b, heads(b, rows, count, headSize), norm), count * headSize)
      : rows;
    return rotary ? rotated(b, normed, rotary, tables, { count, headSize }) : normed;
  };
  const query = made(attention.query, attention.queryNorm, numHeads);
  const key = made(attention.key, attention.keyNorm, numKvHeads);
  const value = linearLayer(b, x, attention.value);
  const group = numHeads / numKvHeads;
  const wide = (rows: string): string =>
    group === 1 ? rows : repeated(b, rows, numKvHeads, group, headSize);
  const rows = { query, key: wide(key), value: wide(value) };
  return linearLayer(b, packedAttention(b, name, rows, attention), attention.output);
}

/** Each head of `[1, T, kvHeads * headSize]` as often as a group reads it. */
function repeated(
  b: GraphBuilder,
  rows: string,
  kvHeads: number,
  group: number,
  headSize: number,
): string {
  const apart = b.ints(`heads_apart.${kvHeads}.${headSize}`, [1, -1, kvHeads, 1, headSize]);
  const times = b.ints(`group.${group}`, [1, 1, 1, group, 1]);
  const split = b.node('Reshape', `${rows}/heads`, [rows, apart]);
  const tiled = b.node('Tile', `${rows}/repeated`, [split, times]);
  return tokens(b, tiled, kvHeads * group * headSize);
}

/** Rotates `[1, T, heads * headSize]`, each row by the angles of its place in its text. */
function rotated(
  b: GraphBuilder,
  rows: string,
  rotary: Rotary,
  tables: RotaryTables,
  { count, headSize }: { readonly count: number; readonly headSize: number },
): string {
  const { cos, sin, dim, interleaved } = tables.of(rotary);
  const half = rotary.frequencies.length;
  const number = tables.numberOf(rotary);
  const flat = b.node('Reshape', 'flat_places', [PACKED.positionIds, b.ints('flat', [-1])]);
  // The operator takes as many rows of a table as there are rows: each has its own.
  const angles = (name: string, values: Float32Array): string => {
    const table = b.floats(`${name}.${number}`, values, [values.length / half, half]);
    return b.node('Gather', `${name}.${number}/rows`, [table, flat]);
  };
  const inputs = [rows, rowNumbers(b), angles('cosines', cos), angles('sines', sin)];
  return b.contrib('RotaryEmbedding', `${rows}/rotated`, inputs, {
    interleaved: interleaved ? 1 : 0,
    num_heads: count,
    rotary_embedding_dim: dim < headSize ? dim : 0,
  });
}

/** `[1, T]`: 0, 1, ... */
function rowNumbers(b: GraphBuilder): string {
  const [zero, one] = [b.ints('zero_int', [0], []), b.ints('one_int', [1], [])];
  const shape = b.node('Shape', 'shape', [PACKED.inputIds]);
  const count = b.node('Gather', 'count', [shape, one]);
  const numbers = b.node('Range', 'row_numbers', [zero, count, one]);
  return b.node('Unsqueeze', 'row_numbers/row', [numbers, b.ints('first_axis', [0])]);
}

function scoresOf(b: GraphBuilder, x: string, classifier: Classifier): string {
  const { dense, activation, norm, labels } = classifier;
  const first = b.node('Gather', 'first_rows', [x, PACKED.starts], { axis: 1 });
  const made = linearLayer(b, first, dense);
  const bent =
    activation === 'tanh' ? b.node('Tanh', 'pooled', [made]) : activated(b, made, activation);
  return linearLayer(b, norm ? normLayer(b, bent, norm) : bent, labels);
}
