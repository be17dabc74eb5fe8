import type { StoredTensor } from '../../checkpoint/stored-tensor.js';
import { LOGITS, STEP_INPUT } from '../../importer/imported-model.js';
import { makeValueInfo } from '../../importer/onnx/nodes.js';
import { type ModelProto, TensorProto_DataType as Type } from '../../importer/onnx/onnx_pb.js';
import type { RecognizedSite } from '../../importer/recognizers/recognizer.js';
import type { BlockNorms, Decoder, DecoderLayer, Weight } from '../decoder.js';
import { attentionLayer } from './attention.js';
import { expertsLayer } from './experts.js';
import { GraphBuilder } from './graph-builder.js';
import { linearLayer, mlpLayer, normLayer, scaled, softcapped } from './layers.js';
import { RotaryTables } from './rotary-tables.js';
import { rotatesInGraph } from './rotation.js';
import { nameOf } from './stored-weights.js';

export interface BuildOptions {
  /** Length of the longest sequence that is served, in tokens. */
  readonly servedLength: number;
  /** Reads a small weight. */
  readonly readFloats: (weight: Weight) => Float32Array;
}

export interface DecoderGraph {
  readonly model: ModelProto;
  /** The attention of each layer, at which the graph is cut. */
  readonly sites: readonly RecognizedSite[];
  /** See `ImportedModel`. */
  readonly switchLengths: readonly number[];
}

/**
 * The graph of a decoder from token ids and positions `[1, T]` to logits `[1, T, vocabulary]`, with
 * a placeholder for the attention of each layer. Weights stay in the files of the checkpoint.
 *
 * @param tensors all that the description names, checked
 */
export function buildDecoder(
  decoder: Decoder,
  tensors: ReadonlyMap<string, StoredTensor>,
  { servedLength, readFloats }: BuildOptions,
): DecoderGraph {
  const b = new GraphBuilder(tensors);
  const tables = new RotaryTables(servedLength);
  const sites: RecognizedSite[] = [];
  let x = embedded(b, decoder);
  for (const [layer, description] of decoder.layers.entries()) {
    const { sinks } = description.attention;
    const attend = (input: string): string => {
      const values = sinks && readFloats(sinks);
      const context = { layer, servedLength, tables, sinks: values };
      const { output, site } = attentionLayer(b, input, description.attention, context);
      sites.push(site);
      return output;
    };
    x = layerOf(b, x, description, attend, decoder.hiddenSize);
  }
  const logits = scaled(
    b,
    linearLayer(b, normLayer(b, x, decoder.finalNorm), decoder.head),
    decoder.logitScale,
  );
  const { logitSoftcap } = decoder;
  b.node('Identity', LOGITS, [logitSoftcap > 0 ? softcapped(b, logits, logitSoftcap) : logits]);
  const switchLengths = lengthsOf(decoder, servedLength);
  const { inputIds, positionIds, sequenceLengths } = STEP_INPUT;
  const isLong = switchLengths.length > 0;
  const names = [inputIds, positionIds, ...(isLong ? [sequenceLengths] : [])];
  const model = b.build(
    names.map((name) => makeValueInfo(name, Type.INT64)),
    [makeValueInfo(LOGITS, Type.FLOAT)],
    'octavo',
  );
  return { model, sites, switchLengths };
}

function embedded(b: GraphBuilder, { embedding }: Decoder): string {
  const { weight, scale, positions } = embedding;
  const { inputIds, positionIds } = STEP_INPUT;
  const x = scaled(b, rowsOf(b, weight, inputIds), scale);
  return positions ? b.node('Add', 'embedding', [x, rowsOf(b, positions, positionIds)]) : x;
}

/** Looks up rows in their own format, and widens only these. */
function rowsOf(b: GraphBuilder, weight: Weight, ids: string): string {
  const table = b.table(weight);
  const rows = b.node('Gather', `${nameOf(weight)}/rows`, [table.rows, ids]);
  return table.isFloat ? rows : b.node('Cast', `${rows}/float`, [rows], { to: Type.FLOAT });
}

function layerOf(
  b: GraphBuilder,
  x: string,
  layer: DecoderLayer,
  attend: (input: string) => string,
  width: number,
): string {
  const { feedForward, residualScale, parallel } = layer;
  const block = (input: string, norms: BlockNorms, f: (input: string) => string): string => {
    const made = f(norms.before ? normLayer(b, input, norms.before) : input);
    return scaled(b, norms.after ? normLayer(b, made, norms.after) : made, residualScale);
  };
  const forward = (input: string): string =>
    feedForward.kind === 'mlp'
      ? mlpLayer(b, input, feedForward)
      : expertsLayer(b, input, feedForward, width);
  const attended = block(x, layer.attentionNorms, attend);
  const sum = b.node('Add', `${attended}/residual`, [x, attended]);
  const fed = block(parallel ? x : sum, layer.feedForwardNorms, forward);
  return b.node('Add', `${fed}/residual`, [sum, fed]);
}

/** The length at which LongRoPE changes its angles, if longer sequences are served. */
function lengthsOf({ layers }: Decoder, servedLength: number): number[] {
  const lengths = layers.flatMap(({ attention: { rotary } }) =>
    rotary?.long && rotatesInGraph(rotary, servedLength) ? [rotary.long.beyond] : [],
  );
  return [...new Set(lengths)];
}
