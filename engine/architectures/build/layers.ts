import { TensorProto_DataType as Type } from '../../importer/onnx/onnx_pb.js';
import type { Activation, Linear, Mlp, Norm, Weight, Xielu } from '../decoder.js';
import type { GraphBuilder } from './graph-builder.js';
import { nameOf } from './stored-weights.js';

/** `x W + b` of a tensor `[..., inputs]`. */
export function linearLayer(b: GraphBuilder, x: string, { weight, bias, turned }: Linear): string {
  const name = placeOf(nameOf(weight));
  const product = b.matmul(name, x, b.weight(weight), turned);
  return bias ? b.node('Add', `${name}/biased`, [product, b.weight(bias)]) : product;
}

/**
 * Layers of one input as one, whose output has theirs side by side: `x [W1 W2 ..] + [b1 b2 ..]`.
 *
 * @param dense see `GraphBuilder.joined`
 * @returns null where they must stay apart
 */
export function joinedLayer(
  b: GraphBuilder,
  x: string,
  layers: readonly Linear[],
  dense: boolean,
): string | null {
  const biases = layers.flatMap(({ bias }) => bias ?? []);
  const isPlain = layers.every(({ turned }) => turned);
  if (!isPlain || (biases.length > 0 && biases.length < layers.length)) return null;
  const weights = layers.map(({ weight }) => weight);
  const name = weights.map((weight) => placeOf(nameOf(weight))).join('+');
  const rows = b.joined(`${name}/weight`, weights, dense);
  if (rows === null) return null;
  const matrix = b.node('Transpose', `${name}/turned`, [rows], { perm: [1, 0] });
  const product = b.node('MatMul', name, [x, matrix]);
  if (biases.length === 0) return product;
  const added = biases.map((bias) => b.weight(bias));
  const bias = b.node('Concat', `${name}/bias`, added, { axis: 0 });
  return b.node('Add', `${name}/biased`, [product, bias]);
}

/** The name of what a weight belongs to. */
function placeOf(weight: string): string {
  const place = weight.replace(/\.weight(?=\[|$)/, '');
  return place === weight ? `${weight}/output` : place;
}

/** Looks up rows in their own format, and widens only these. */
export function rowsOf(b: GraphBuilder, weight: Weight, ids: string): string {
  const table = b.table(weight);
  const rows = b.node('Gather', `${nameOf(weight)}/rows`, [table.rows, ids]);
  return table.isFloat ? rows : b.node('Cast', `${rows}/float`, [rows], { to: Type.FLOAT });
}

/**
 * A norm over the last axis.
 *
 * @param groups parts of the last axis of `[1, T, size]`, each of which is normed by itself
 */
export function normLayer(b: GraphBuilder, x: string, norm: Norm, groups = 1): string {
  const { kind, size, weight, bias, offset, epsilon } = norm;
  if (groups > 1 || (weight?.shape.length ?? 1) > 1) return groupNorm(b, x, norm, groups);
  const stored = weight
    ? b.weight(weight)
    : b.floats(`ones.${size}`, new Float32Array(size).fill(1));
  const scale =
    offset === 0 ? stored : b.node('Add', `${stored}/scale`, [stored, b.float('one', 1)]);
  const name = weight ? placeOf(nameOf(weight)) : `${x}/norm`;
  const attributes = { axis: -1, epsilon: { float: epsilon } };
  if (kind === 'rms') return b.node('SimplifiedLayerNormalization', name, [x, scale], attributes);
  const inputs = bias ? [x, scale, b.weight(bias)] : [x, scale];
  return b.node('LayerNormalization', name, inputs, attributes);
}

function groupNorm(b: GraphBuilder, x: string, norm: Norm, groups: number): string {
  const width = norm.size / groups;
  const plain = { ...norm, size: width, weight: null };
  const normed = normLayer(b, heads(b, x, groups, width), plain);
  if (!norm.weight) return tokens(b, normed, norm.size);
  const name = nameOf(norm.weight);
  const rows = b.node('Reshape', `${name}/groups`, [
    b.weight(norm.weight),
    b.ints(`groups.${groups}.${width}`, [groups, width]),
  ]);
  return tokens(b, b.node('Mul', placeOf(name), [normed, rows]), norm.size);
}

/** `[1, T, count * size]` to `[1, T, count, size]`. */
export function heads(b: GraphBuilder, x: string, count: number, size: number): string {
  const shape = b.ints(`heads.${count}.${size}`, [1, -1, count, size]);
  return b.node('Reshape', `${x}/heads`, [x, shape]);
}

/** The way back from `heads`. */
export function tokens(b: GraphBuilder, x: string, width: number): string {
  return b.node('Reshape', `${x}/tokens`, [x, b.ints(`tokens.${width}`, [1, -1, width])]);
}

/** Parts of the last axis, of these widths. */
export function parts(b: GraphBuilder, x: string, widths: readonly number[]): string[] {
  const names = widths.map((_, i) => `${x}/part.${i}`);
  const list = b.ints(`split.${widths.join()}`, widths);
  b.split('Split', `${x}/parts`, [x, list], names, { axis: -1 });
  return names;
}

/** `x` times a number; `x` itself for 1. */
export function scaled(b: GraphBuilder, x: string, factor: number): string {
  return factor === 1 ? x : b.node('Mul', `${x}/times`, [x, b.float(`number.${factor}`, factor)]);
}

/** `height * tanh(x / height)`. */
export function softcapped(b: GraphBuilder, x: string, height: number): string {
  const number = b.float(`number.${height}`, height);
  const divided = b.node('Div', `${x}/divided`, [x, number]);
  return b.node('Mul', `${x}/capped`, [b.node('Tanh', `${x}/tanh`, [divided]), number]);
}

export function mlpLayer(b: GraphBuilder, x: string, mlp: Mlp): string {
  const { activation, gate, gateCut, up, down, gateScale = 1, downScale = 1 } = mlp;
  const raised = linearLayer(b, x, up);
  if (!gate) return scaled(b, linearLayer(b, activated(b, raised, activation), down), downScale);
  const gates = scaled(b, linearLayer(b, x, gate), gateScale);
  const kept = gateCut === undefined ? gates : cutBelow(b, gates, gateCut);
  const open = activated(b, kept, activation);
  const product = b.node('Mul', `${open}/gated`, [open, raised]);
  return scaled(b, linearLayer(b, product, down), downScale);
}

/** `relu(x - mean - deviations * standard deviation)` of each row. */
function cutBelow(b: GraphBuilder, x: string, deviations: number): string {
  const at = (part: string): string => `${x}/cut.${part}`;
  const centered = b.node('Sub', at('centered'), [x, meanOf(b, x)]);
  const variance = meanOf(b, b.node('Mul', at('square'), [centered, centered]));
  const limit = scaled(b, b.node('Sqrt', at('deviation'), [variance]), deviations);
  return b.node('Relu', at('kept'), [b.node('Sub', at('above'), [centered, limit])]);
}

/** Mean of the last axis, which stays, of length 1. */
export function meanOf(b: GraphBuilder, x: string): string {
  return b.node('ReduceMean', `${x}/mean`, [x, b.ints('last_axis', [-1])], { keepdims: 1 });
}

/** `x * silu(gate)` */
export function gatedBySilu(b: GraphBuilder, x: string, gate: string): string {
  return b.node('Mul', `${x}/gated`, [x, activated(b, gate, 'silu')]);
}

export function activated(b: GraphBuilder, x: string, activation: Activation): string {
  if (typeof activation === 'object') return xielu(b, x, activation);
  switch (activation) {
    case 'silu':
      return b.node('Mul', `${x}/silu`, [x, b.node('Sigmoid', `${x}/sigmoid`, [x])]);
    case 'gelu':
      return b.node('Gelu', `${x}/gelu`, [x], { approximate: 'none' });
    case 'gelu-tanh':
      return b.node('Gelu', `${x}/gelu`, [x], { approximate: 'tanh' });
    case 'relu':
      return b.node('Relu', `${x}/relu`, [x]);
    case 'relu2': {
      const positive = b.node('Relu', `${x}/relu`, [x]);
      return b.node('Mul', `${x}/relu2`, [positive, positive]);
    }
  }
}

function xielu(b: GraphBuilder, x: string, { positive, negative, beta, epsilon }: Xielu): string {
  const at = (part: string): string => `${x}/xielu.${part}`;
  const number = (value: number): string => b.float(`number.${value}`, value);
  const slope = b.node('Softplus', at('positive'), [b.weight(positive)]);
  const depth = b.node('Add', at('depth'), [
    b.node('Softplus', at('negative'), [b.weight(negative)]),
    number(beta),
  ]);
  const raised = b.node('Mul', at('raised'), [b.node('Mul', at('square'), [x, x]), slope]);
  const low = b.node('Min', at('low'), [x, number(epsilon)]);
  const fall = b.node('Sub', at('fall'), [b.node('Exp', at('exp'), [low]), number(1)]);
  const lowered = b.node('Mul', at('lowered'), [b.node('Sub', at('curve'), [fall, x]), depth]);
  const isPositive = b.node('Greater', at('is_positive'), [x, b.float('zero', 0)]);
  const bent = b.node('Where', at('bent'), [isPositive, raised, lowered]);
  return b.node('Add', at('output'), [bent, b.node('Mul', at('line'), [x, number(beta)])]);
}
