import type { Experts } from '../decoder.js';
import { clampedMlpLayer } from './clamped-mlp.js';
import type { GraphBuilder } from './graph-builder.js';
import { linearLayer, mlpLayer, normLayer, scaled } from './layers.js';

/**
 * A mixture of experts in primitive operators. Each expert computes the rows that chose it, which
 * may be none, so that a step costs what its tokens need:
 *
 *     x -> router -> Softmax -> TopK -> scores [T, E], 0 where an expert was not chosen
 *     of expert e: rows = NonZero(scores[:, e]); y[rows] += score * expert(x[rows])
 *
 * Other rows of a step change nothing in a row's result.
 *
 * @param before what the layer has before the norm of x, for routers that see it
 */
export function expertsLayer(
  b: GraphBuilder,
  x: string,
  layer: Experts,
  width: number,
  before = x,
): string {
  const { latent, shared } = layer;
  const at = (part: string): string => `${x}/${part}`;
  const rowsIn = (tensor: string): string =>
    b.node('Reshape', `${tensor}/rows`, [tensor, b.ints(`rows.${width}`, [-1, width])]);
  const all = rowsIn(x);
  const { input } = layer.router;
  const routed = input ? scaled(b, normLayer(b, rowsIn(before), input.norm), input.scale) : all;
  const rows = latent ? linearLayer(b, all, latent.down) : all;
  const chances = b.node('Transpose', at('by_expert'), [chosen(b, routed, layer, at)], {
    perm: [1, 0],
  });
  const zero = b.float('zero', 0);
  let sum = b.node('Mul', at('none'), [rows, zero]);
  for (const [index, expert] of layer.experts.entries()) {
    const of = (part: string): string => at(`expert.${index}/${part}`);
    const chance = b.node('Gather', of('chance'), [chances, b.ints(`index.${index}`, [index], [])]);
    const places = b.node('NonZero', of('places'), [chance]);
    const list = b.node('Reshape', of('list'), [places, b.ints('flat', [-1])]);
    const own = b.node('Gather', of('own'), [rows, list]);
    const weights = b.node('Gather', of('weights'), [chance, list]);
    const column = b.node('Reshape', of('column'), [weights, b.ints('column', [-1, 1])]);
    const result = b.node('Mul', of('result'), [expertLayer(b, own, expert), column]);
    const index2 = b.node('Reshape', of('index'), [list, b.ints('column', [-1, 1])]);
    sum = b.node('ScatterND', of('sum'), [sum, index2, result], { reduction: 'add' });
  }
  const chosenOnes = latent ? linearLayer(b, sum, latent.up) : sum;
  const total = shared
    ? b.node('Add', at('with_shared'), [chosenOnes, sharedExpert(b, all, shared)])
    : chosenOnes;
  return b.node('Reshape', at('output'), [total, b.ints(`tokens.${width}`, [1, -1, width])]);
}

function expertLayer(b: GraphBuilder, rows: string, expert: Experts['experts'][number]): string {
  return expert.kind === 'mlp' ? mlpLayer(b, rows, expert) : clampedMlpLayer(b, rows, expert);
}

function sharedExpert(
  b: GraphBuilder,
  rows: string,
  { mlp, gate }: NonNullable<Experts['shared']>,
): string {
  const made = mlpLayer(b, rows, mlp);
  if (!gate) return made;
  const opened = linearLayer(b, rows, gate);
  return b.node('Mul', `${made}/gated`, [made, b.node('Sigmoid', `${opened}/sigmoid`, [opened])]);
}

/** `[T, experts]`: the score of each expert, 0 where it was not among the chosen. */
function chosen(
  b: GraphBuilder,
  rows: string,
  { router, perToken }: Experts,
  at: (part: string) => string,
): string {
  const { linear, scores: kind, choiceBias, normalized, scale, expertScales } = router;
  const raw = linearLayer(b, rows, linear);
  const scores =
    kind === 'softmax'
      ? b.node('Softmax', at('scores'), [raw], { axis: -1 })
      : b.node('Sigmoid', at('scores'), [raw]);
  const ranked = choiceBias ? b.node('Add', at('ranked'), [scores, b.weight(choiceBias)]) : scores;
  const [best, indices] = [at('top'), at('top_indices')];
  const count = b.ints(`count.${perToken}`, [perToken]);
  b.split('TopK', best, [ranked, count], [best, indices], { axis: -1 });
  const values = choiceBias
    ? b.node('GatherElements', at('chosen_scores'), [scores, indices], { axis: -1 })
    : best;
  const shares = scaled(b, normalized ? divided(b, values, normalized.epsilon, at) : values, scale);
  const factors =
    expertScales && b.node('Gather', at('expert_scales'), [b.weight(expertScales), indices]);
  const used = factors ? b.node('Mul', at('scaled_shares'), [shares, factors]) : shares;
  const nothing = b.node('Mul', at('nothing'), [scores, b.float('zero', 0)]);
  return b.node('ScatterElements', at('chosen'), [nothing, indices, used], { axis: -1 });
}

/** Divided by their sum. */
function divided(
  b: GraphBuilder,
  values: string,
  epsilon: number,
  at: (part: string) => string,
): string {
  const sum = b.node('ReduceSum', at('total'), [values, b.ints('last_axis', [-1])], {
    keepdims: 1,
  });
  const total =
    epsilon > 0
      ? b.node('Add', at('above_zero'), [sum, b.float(`number.${epsilon}`, epsilon)])
      : sum;
  return b.node('Div', at('shares'), [values, total]);
}
