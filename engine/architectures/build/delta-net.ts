import type { RecognizedRecurrence } from '../../importer/recognizers/recognizer.js';
import type { LinearAttention } from '../../recurrent/recurrence.js';
import type { DeltaNet } from '../decoder.js';
import { convolved, type Mixed, type StateContext, stateSite } from './convolution.js';
import { fadingRates, stepSizes } from './fading.js';
import type { GraphBuilder } from './graph-builder.js';
import { gatedBySilu, heads, linearLayer, normLayer, parts, tokens } from './layers.js';

/** Added to the squares of a key's numbers before their root. */
const EPSILON = 1e-6;

export function deltaNet(
  b: GraphBuilder,
  x: string,
  layer: DeltaNet,
  context: StateContext,
): Mixed<RecognizedRecurrence> {
  const { numKeyHeads, numValueHeads, keySize, valueSize, fading } = layer;
  const [keys, values] = [numKeyHeads * keySize, numValueHeads * valueSize];
  const { mixed, gate, rate, step } = projected(b, x, layer);
  const made = convolved(b, mixed, layer.convolution, 'silu', context);
  const [query, key, value] = parts(b, made.output, [keys, keys, values]);
  const unit = (tensor: string): string => unitVectors(b, tensor, numKeyHeads, keySize);
  const recurrence: LinearAttention = {
    kind: 'linear-attention',
    rule: 'gated_delta',
    numHeads: numValueHeads,
    numQueryHeads: numKeyHeads,
    numKeyHeads,
    keySize,
    valueSize,
    scale: keySize ** -0.5,
    decaysByKey: false,
    sharesRate: false,
  };
  const steps = stepSizes(b, step, fading);
  const site = stateSite(b, `${context.place}/states`, recurrence, [
    unit(query),
    unit(key),
    value,
    b.node('Mul', `${steps}/decays`, [steps, fadingRates(b, fading)]),
    b.node('Sigmoid', `${rate}/sigmoid`, [rate]),
  ]);
  const normed = normLayer(b, heads(b, site.output, numValueHeads, valueSize), layer.norm);
  const closed = gatedBySilu(b, tokens(b, normed, values), gate);
  return { output: linearLayer(b, closed, layer.output), sites: [...made.sites, site] };
}

type Projected = Readonly<Record<'mixed' | 'gate' | 'rate' | 'step', string>>;

function projected(b: GraphBuilder, x: string, layer: DeltaNet): Projected {
  const { projections } = layer;
  if (projections.kind === 'separate') {
    const { queryKeyValue, gate, rate, step } = projections;
    return {
      mixed: linearLayer(b, x, queryKeyValue),
      gate: linearLayer(b, x, gate),
      rate: linearLayer(b, x, rate),
      step: linearLayer(b, x, step),
    };
  }
  const { numKeyHeads, numValueHeads, keySize, valueSize } = layer;
  const each = numValueHeads / numKeyHeads;
  const byHead = (packed: string, widths: readonly number[]): string[] => {
    const width = widths.reduce((n, part) => n + part, 0);
    const split = parts(b, heads(b, packed, numKeyHeads, width), widths);
    return split.map((part, i) => tokens(b, part, numKeyHeads * widths[i]));
  };
  const wide = linearLayer(b, x, projections.queryKeyValueGate);
  const [query, key, value, gate] = byHead(wide, [
    keySize,
    keySize,
    each * valueSize,
    each * valueSize,
  ]);
  const [rate, step] = byHead(linearLayer(b, x, projections.rateStep), [each, each]);
  const mixed = b.node('Concat', `${wide}/mixed`, [query, key, value], { axis: -1 });
  return { mixed, gate, rate, step };
}

/** Each head divided by its length: an RMS norm that divides by the root of the size, too. */
function unitVectors(b: GraphBuilder, x: string, count: number, size: number): string {
  const scale = b.floats(`unit.${size}`, new Float32Array(size).fill(size ** -0.5));
  const normed = b.node(
    'SimplifiedLayerNormalization',
    `${x}/unit`,
    [heads(b, x, count, size), scale],
    {
      axis: -1,
      epsilon: { float: EPSILON / size },
    },
  );
  return tokens(b, normed, count * size);
}
