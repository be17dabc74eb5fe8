import type { BlockNorms, DecoderLayer, FeedForward, Mixer, Streams } from '../decoder.js';
import { clampedMlpLayer } from './clamped-mlp.js';
import { expertsLayer } from './experts.js';
import type { GraphBuilder } from './graph-builder.js';
import { layerInputBlock } from './layer-inputs.js';
import { mlpLayer, normLayer, scaled } from './layers.js';
import {
  addToOthers,
  correctedStreams,
  laurelLayer,
  predictedStreams,
  streamOf,
} from './streams.js';

/** What a layer needs besides its description. */
export interface LayerContext {
  readonly mix: (input: string, mixer: Mixer) => string;
  /** The layer's own of `layerInputs`. */
  readonly input: string | undefined;
  /** The hidden size. */
  readonly width: number;
  readonly streams: Streams | undefined;
}

/**
 * A layer: `[1, T, hidden]` to the same, or, of a decoder with streams, all of them to all of them.
 */
export function decoderLayer(
  b: GraphBuilder,
  x: string,
  layer: DecoderLayer,
  context: LayerContext,
): string {
  const y = context.streams
    ? streamedLayer(b, x, layer, context, context.streams)
    : plainLayer(b, x, layer, context);
  const { outputScale } = layer;
  return outputScale ? b.node('Mul', `${y}/times`, [y, b.weight(outputScale)]) : y;
}

function plainLayer(
  b: GraphBuilder,
  x: string,
  layer: DecoderLayer,
  context: LayerContext,
): string {
  const y = blocks(b, x, layer, context);
  const added = lastBlock(b, y, layer, context);
  return added === null ? y : b.node('Add', `${added}/residual`, [y, added]);
}

function streamedLayer(
  b: GraphBuilder,
  x: string,
  layer: DecoderLayer,
  context: LayerContext,
  streams: Streams,
): string {
  const own = layer.streams;
  if (!own) throw new Error('a decoder with streams has a layer that does not say what it does');
  const predicted = predictedStreams(b, x, own, streams);
  const made = blocks(b, streamOf(b, predicted, streams.active), layer, context);
  const corrected = correctedStreams(b, predicted, made, own, streams);
  const active = streamOf(b, corrected, streams.active);
  const read = own.scale ? b.node('Mul', `${active}/times`, [active, b.weight(own.scale)]) : active;
  const added = lastBlock(b, read, layer, context);
  return added === null ? corrected : addToOthers(b, corrected, added, streams);
}

/** What the block adds that reads the layer's own input; null without. */
function lastBlock(
  b: GraphBuilder,
  x: string,
  { layerInput }: DecoderLayer,
  { input }: LayerContext,
): string | null {
  return layerInput && input !== undefined ? layerInputBlock(b, x, input, layerInput) : null;
}

/** Mixers and feed-forward block, with their residuals. */
function blocks(
  b: GraphBuilder,
  x: string,
  layer: DecoderLayer,
  { mix, width }: LayerContext,
): string {
  const { mixers, feedForward, residualScale, parallel, laurel } = layer;
  const add = (a: string, c: string, name: string): string => b.node('Add', name, [a, c]);
  /** @returns `to` and what a block makes of `from` */
  const block = (
    from: string,
    to: string,
    norms: BlockNorms,
    f: (input: string) => string,
  ): string => {
    const part = scaled(b, between(b, from, norms, f), residualScale);
    return add(to, part, `${part}/residual`);
  };
  const mixed = (input: string): string =>
    mixers
      .map((mixer) => mix(input, mixer))
      .reduce((sum, each) => add(sum, each, `${each}/beside`));
  let sum = mixers.length > 0 ? block(x, x, layer.mixerNorms, mixed) : x;
  if (laurel) {
    const { before } = layer.mixerNorms;
    const beside = laurelLayer(b, before ? normLayer(b, x, before) : x, laurel);
    sum = scaled(b, add(sum, beside, `${beside}/residual`), Math.SQRT1_2);
  }
  if (!feedForward) return sum;
  return block(parallel ? x : sum, sum, layer.feedForwardNorms, (input) =>
    forward(b, input, feedForward, width),
  );
}

/** A block of x between its norms. */
function between(
  b: GraphBuilder,
  x: string,
  { before, after }: BlockNorms,
  f: (input: string) => string,
): string {
  const made = f(before ? normLayer(b, x, before) : x);
  return after ? normLayer(b, made, after) : made;
}

function forward(b: GraphBuilder, x: string, layer: FeedForward, width: number): string {
  switch (layer.kind) {
    case 'mlp':
      return mlpLayer(b, x, layer);
    case 'clamped-mlp':
      return clampedMlpLayer(b, x, layer);
    case 'experts':
      return expertsLayer(b, x, layer, width);
    case 'mlp-and-experts': {
      const { mlp, experts } = layer;
      const dense = between(b, x, layer.mlpNorms, (input) => mlpLayer(b, input, mlp));
      const chosen = between(b, x, layer.expertNorms, (input) =>
        expertsLayer(b, input, experts, width, x),
      );
      return b.node('Add', `${dense}/with_experts`, [dense, chosen]);
    }
  }
}
