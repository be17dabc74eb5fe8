import type { RecognizedRecurrence } from '../../importer/recognizers/recognizer.js';
import type { LinearAttention } from '../../recurrent/recurrence.js';
import type { GatedConvolution, Mamba, StateLayer } from '../decoder.js';
import { convolved, type Mixed, type StateContext, stateSite } from './convolution.js';
import { deltaNet } from './delta-net.js';
import { fadingRates, stepSizes } from './fading.js';
import type { GraphBuilder } from './graph-builder.js';
import { gatedBySilu, heads, linearLayer, normLayer, parts, tokens } from './layers.js';
import { nameOf } from './stored-weights.js';

/** A layer that keeps a state, around its sites: `[1, T, hidden]` to the same. */
export function stateLayer(
  b: GraphBuilder,
  x: string,
  layer: StateLayer,
  context: StateContext,
): Mixed<RecognizedRecurrence> {
  switch (layer.kind) {
    case 'gated-convolution':
      return gatedConvolution(b, x, layer, context);
    case 'delta-net':
      return deltaNet(b, x, layer, context);
    case 'mamba':
      return mamba(b, x, layer, context);
  }
}

function gatedConvolution(
  b: GraphBuilder,
  x: string,
  { input, convolution, output }: GatedConvolution,
  context: StateContext,
): Mixed<RecognizedRecurrence> {
  const { channels } = convolution;
  const [before, after, value] = parts(b, linearLayer(b, x, input), [channels, channels, channels]);
  const given = b.node('Mul', `${value}/gated`, [before, value]);
  const made = convolved(b, given, convolution, 'none', context);
  const product = b.node('Mul', `${made.output}/gated`, [after, made.output]);
  return { output: linearLayer(b, product, output), sites: made.sites };
}

function mamba(
  b: GraphBuilder,
  x: string,
  layer: Mamba,
  context: StateContext,
): Mixed<RecognizedRecurrence> {
  const { numHeads, headSize, numGroups, stateSize, convolution } = layer;
  const inner = numHeads * headSize;
  const shared = numGroups * stateSize;
  const projected = scaledParts(b, linearLayer(b, x, layer.input), layer);
  const [gate, mixed, step] = parts(b, projected, [inner, convolution.channels, numHeads]);
  const made = convolved(b, mixed, convolution, 'silu', context);
  const [value, key, query] = parts(b, made.output, [inner, shared, shared]);
  const steps = cut(b, stepSizes(b, step, layer.fading), layer.stepLimits);
  const values = heads(b, value, numHeads, headSize);
  const column = b.node('Unsqueeze', `${steps}/column`, [steps, b.ints('last_axis', [-1])]);
  const taken = b.node('Mul', `${values}/steps`, [values, column]);
  const recurrence: LinearAttention = {
    kind: 'linear-attention',
    rule: 'gated',
    numHeads,
    numQueryHeads: numGroups,
    numKeyHeads: numGroups,
    keySize: stateSize,
    valueSize: headSize,
    scale: 1,
    decaysByKey: false,
    sharesRate: false,
  };
  const site = stateSite(b, `${context.place}/states`, recurrence, [
    query,
    key,
    tokens(b, taken, inner),
    b.node('Mul', `${steps}/decays`, [steps, fadingRates(b, layer.fading)]),
  ]);
  const skip = b.node('Reshape', `${nameOf(layer.skip)}/column`, [
    b.weight(layer.skip),
    b.ints('column', [-1, 1]),
  ]);
  const sum = b.node('Add', `${site.output}/skipped`, [
    heads(b, site.output, numHeads, headSize),
    b.node('Mul', `${values}/skip`, [values, skip]),
  ]);
  const closed = gated(b, tokens(b, sum, inner), gate, layer);
  return { output: linearLayer(b, closed, layer.output), sites: [...made.sites, site] };
}

/** Gate, x, b, c and steps, each times its factor. */
function scaledParts(
  b: GraphBuilder,
  projected: string,
  { numHeads, headSize, numGroups, stateSize, inputFactors }: Mamba,
): string {
  if (!inputFactors) return projected;
  const [inner, shared] = [numHeads * headSize, numGroups * stateSize];
  const widths = [inner, inner, shared, shared, numHeads];
  const factors = widths.flatMap((width, i) => Array<number>(width).fill(inputFactors[i]));
  const name = `factors.${widths.join()}.${inputFactors.join()}`;
  return b.node('Mul', `${projected}/times`, [
    projected,
    b.floats(name, Float32Array.from(factors)),
  ]);
}

function cut(b: GraphBuilder, steps: string, [low, high]: Mamba['stepLimits']): string {
  if (low <= 0 && high === Number.POSITIVE_INFINITY) return steps;
  const bound = (value: number): string =>
    Number.isFinite(value) ? b.float(`number.${value}`, value) : '';
  return b.node('Clip', `${steps}/cut`, [steps, bound(low), bound(high)]);
}

function gated(b: GraphBuilder, y: string, gate: string, { norm }: Mamba): string {
  if (!norm) return gatedBySilu(b, y, gate);
  const normed = (tensor: string): string => normLayer(b, tensor, norm.norm, norm.groups);
  return norm.beforeGate ? gatedBySilu(b, normed(y), gate) : normed(gatedBySilu(b, y, gate));
}
