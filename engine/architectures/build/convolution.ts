import type { RecognizedRecurrence } from '../../importer/recognizers/recognizer.js';
import { SITE } from '../../importer/recognizers/replace-site.js';
import type { Recurrence, ShortConvolution } from '../../recurrent/recurrence.js';
import type { Convolution, Weight } from '../decoder.js';
import type { GraphBuilder } from './graph-builder.js';

/** What a layer with a state needs besides its description. */
export interface StateContext {
  /** Name for its nodes. */
  readonly place: string;
  /** Reads a small weight. */
  readonly readFloats: (weight: Weight) => Float32Array;
}

/** A part of the graph with sites in it, at which the graph is cut, in their order. */
export interface Mixed<Site> {
  readonly output: string;
  readonly sites: readonly Site[];
}

/** Puts a site in the graph. */
export function stateSite(
  b: GraphBuilder,
  place: string,
  recurrence: Recurrence,
  inputs: readonly string[],
): RecognizedRecurrence {
  const node = b.split(SITE, place, inputs, [place]);
  return { form: 'described', node, recurrence, inputs, output: place };
}

/** A short convolution of `[1, T, channels]`: the same shape. */
export function convolved(
  b: GraphBuilder,
  x: string,
  { channels, taps, weight, bias }: Convolution,
  activation: ShortConvolution['activation'],
  { place, readFloats }: StateContext,
): Mixed<RecognizedRecurrence> {
  const turned = b.node('Transpose', `${x}/channels`, [x], { perm: [0, 2, 1] });
  const recurrence: ShortConvolution = {
    kind: 'convolution',
    channels,
    taps,
    weight: readFloats(weight),
    bias: bias && readFloats(bias),
    activation,
  };
  const site = stateSite(b, `${place}/convolution`, recurrence, [turned]);
  const output = b.node('Transpose', `${site.output}/tokens`, [site.output], { perm: [0, 2, 1] });
  return { output, sites: [site] };
}
