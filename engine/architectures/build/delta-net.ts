import type { RecognizedRecurrence } from '../../importer/recognizers/recognizer.js';
import type { LinearAttention } from '../../recurrent/recurrence.js';
import type { DeltaNet, Linear } from '../decoder.js';
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
  const { numKeyHeads, numValueHeads, keySize, valueSize, fading, valueHeads } = layer;
  const [keys, values] = [numKeyHeads * keySize, numValueHeads * valueSize];
  const { mixed, gate, rate, step } = projected(b, x, layer);
  const made = convolved(b, mixed, layer.convolution, 'silu', context);
  const [query, key, value] = parts(b, made.output, [keys, keys, values]);
  const copies = valueHeads === 'strided' ? numValueHeads / numKeyHeads : 1;
  const unit = (tensor: string): string =>
    repeated(b, unitVectors(b, tensor, numKeyHeads, keySize), copies);
  const recurrence: LinearAttention = {
    kind: 'linear-attention',
    rule: 'gated_delta',
    numHeads: numValueHeads,
    numQueryHeads: numKeyHeads * copies,
    numKeyHeads: numKeyHeads * copies,
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
  const { values, steps } = layer.projections;
  const { numKeyHeads, numValueHeads, keySize, valueSize } = layer;
  const each = numValueHeads / numKeyHeads;
  const byHead = (linear: Linear, widths: readonly number[]): string[] => {
    const width = widths.reduce((n, part) => n + part, 0);
    const packed = linearLayer(b, x, linear);
    const split = parts(b, heads(b, packed, numKeyHeads, width), widths);
    return split.map((part, i) => tokens(b, part, numKeyHeads * widths[i]));
  };
  const [rate, step] =
    steps.kind === 'separate'
      ? [linearLayer(b, x, steps.rate), linearLayer(b, x, steps.step)]
      : byHead(steps.rateStep, [each, each]);
  if (values.kind === 'separate') {
    const mixed = linearLayer(b, x, values.queryKeyValue);
    return { mixed, gate: linearLayer(b, x, values.gate), rate, step };
  }
  const widths = [keySize, keySize, each * valueSize, each * valueSize];
  const [query, key, value, gate] = byHead(values.queryKeyValueGate, widths);
  const mixed = b.node('Concat', `${query}/mixed`, [query, key, value], { axis: -1 });
  return { mixed, gate, rate, step };
}

/** All heads, so many times one after another. */
function repeated(b: GraphBuilder, x: string, copies: number): string {
  if (copies === 1) return x;
  return b.node('Concat', `${x}/repeated`, Array<string>(copies).fill(x), { axis: -1 });
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
