import type { Graph } from '../graph.js';
import { chooseKind } from './choose-kind.js';
import { exactWeightBits } from './exact-weight-bits.js';
import { describePlan, planOf, type QuantizeModelOptions } from './quantize-model.js';

/** Describes, line by line, what `--quantize` would do to a model. */
export async function inspectQuantization(
  graph: Graph,
  asked: Pick<QuantizeModelOptions, 'kind' | 'nbits' | 'weightBits' | 'activations'>,
): Promise<string[]> {
  const before = graph.rewrites.length;
  const chosen = await chooseKind(graph, { ...asked, cacheDir: '' });
  const reason = graph.rewrites.slice(before);
  if (!chosen) return [...reason, 'nothing'];
  const { kind = 'w8a8', weightBits = exactWeightBits, activations = 'exact' } = chosen;
  const bits = kind === 'w8a8' ? await weightBits() : null;
  if (kind === 'w8a8' && bits === null) {
    return ['nothing: this CPU multiplies 8-bit numbers with saturating sums'];
  }
  return [...reason, ...describePlan(planOf(graph, chosen), kind, bits, activations)];
}
