import type { Activation, Linear, Mlp, Norm, Xielu } from '../decoder.js';
import type { GraphBuilder } from './graph-builder.js';
import { nameOf } from './stored-weights.js';

/** `x W + b` of a tensor `[..., inputs]`. */
export function linearLayer(b: GraphBuilder, x: string, { weight, bias, turned }: Linear): string {
  const stored = b.weight(weight);
  // For a stored matrix, passes and ONNX Runtime look through it: nothing is turned in a step.
  const matrix = turned
    ? b.node('Transpose', `${stored}/turned`, [stored], { perm: [1, 0] })
    : stored;
  const name = placeOf(nameOf(weight));
  const product = b.node('MatMul', name, [x, matrix]);
  return bias ? b.node('Add', `${name}/biased`, [product, b.weight(bias)]) : product;
}

/** The name of what a weight belongs to. */
function placeOf(weight: string): string {
  const place = weight.replace(/\.weight(?=\[|$)/, '');
  return place === weight ? `${weight}/output` : place;
}

/** A norm over the last axis. */
export function normLayer(b: GraphBuilder, x: string, norm: Norm): string {
  const { kind, size, weight, bias, offset, epsilon } = norm;
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

export function mlpLayer(b: GraphBuilder, x: string, { activation, gate, up, down }: Mlp): string {
  const raised = linearLayer(b, x, up);
  if (!gate) return linearLayer(b, activated(b, raised, activation), down);
  const open = activated(b, linearLayer(b, x, gate), activation);
  return linearLayer(b, b.node('Mul', `${open}/gated`, [open, raised]), down);
}

function activated(b: GraphBuilder, x: string, activation: Activation): string {
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
