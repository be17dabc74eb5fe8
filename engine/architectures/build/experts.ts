import type { Experts } from '../decoder.js';
import type { GraphBuilder } from './graph-builder.js';
import { linearLayer, mlpLayer } from './layers.js';

/**
 * A mixture of experts in primitive operators. Each expert computes the rows that chose it, which
 * may be none, so that a step costs what its tokens need:
 *
 *     x -> router -> Softmax -> TopK -> probabilities [T, E], 0 where an expert was not chosen
 *     of expert e: rows = NonZero(probabilities[:, e]); y[rows] += p * expert(x[rows])
 *
 * Other rows of a step change nothing in a row's result.
 */
export function expertsLayer(b: GraphBuilder, x: string, layer: Experts, width: number): string {
  const at = (part: string): string => `${x}/${part}`;
  const rows = b.node('Reshape', at('rows'), [x, b.ints(`rows.${width}`, [-1, width])]);
  const chances = b.node('Transpose', at('by_expert'), [chosen(b, rows, layer, at)], {
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
    const result = b.node('Mul', of('result'), [mlpLayer(b, own, expert), column]);
    const index2 = b.node('Reshape', of('index'), [list, b.ints('column', [-1, 1])]);
    sum = b.node('ScatterND', of('sum'), [sum, index2, result], { reduction: 'add' });
  }
  return b.node('Reshape', at('output'), [sum, b.ints(`tokens.${width}`, [1, -1, width])]);
}

/** `[T, experts]`: the probability of each expert, 0 where it was not among the chosen. */
function chosen(
  b: GraphBuilder,
  rows: string,
  { router, perToken, normalized }: Experts,
  at: (part: string) => string,
): string {
  const probabilities = b.node('Softmax', at('probabilities'), [linearLayer(b, rows, router)], {
    axis: -1,
  });
  const [values, indices] = [at('top'), at('top_indices')];
  b.split(
    'TopK',
    values,
    [probabilities, b.ints(`count.${perToken}`, [perToken])],
    [values, indices],
    {
      axis: -1,
    },
  );
  const total = b.node('ReduceSum', at('total'), [values, b.ints('last_axis', [-1])], {
    keepdims: 1,
  });
  const shares = normalized ? b.node('Div', at('shares'), [values, total]) : values;
  const nothing = b.node('Mul', at('nothing'), [probabilities, b.float('zero', 0)]);
  return b.node('ScatterElements', at('chosen'), [nothing, indices, shares], { axis: -1 });
}
