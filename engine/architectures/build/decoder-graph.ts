import type { StoredTensor } from '../../checkpoint/stored-tensor.js';
import { LOGITS, STEP_INPUT } from '../../importer/imported-model.js';
import { makeValueInfo } from '../../importer/onnx/nodes.js';
import { type ModelProto, TensorProto_DataType as Type } from '../../importer/onnx/onnx_pb.js';
import type { RecognizedSite } from '../../importer/recognizers/recognizer.js';
import type { Decoder, Mixer, Weight } from '../decoder.js';
import { attentionLayer, type Joins } from './attention.js';
import { decoderLayer } from './decoder-layer.js';
import { GraphBuilder } from './graph-builder.js';
import { layerInputs } from './layer-inputs.js';
import { linearLayer, normLayer, rowsOf, scaled, softcapped } from './layers.js';
import { RotaryTables } from './rotary-tables.js';
import { rotatesInGraph } from './rotation.js';
import { stateLayer } from './state-layers.js';
import { mergedStreams, spreadStreams } from './streams.js';

export interface BuildOptions {
  /** Length of the longest sequence that is served, in tokens. */
  readonly servedLength: number;
  readonly joins: Joins;
  /** Reads a small weight. */
  readonly readFloats: (weight: Weight) => Float32Array;
}

export interface DecoderGraph {
  readonly model: ModelProto;
  /** The attention and the states of each layer, at which the graph is cut. */
  readonly sites: readonly RecognizedSite[];
  /** See `ImportedModel`. */
  readonly switchLengths: readonly number[];
}

/**
 * The graph of a decoder from token ids and positions `[1, T]` to logits `[1, T, vocabulary]`, with
 * placeholders for attention and states. Weights stay in the files of the checkpoint.
 *
 * @param tensors all that the description names, checked
 */
export function buildDecoder(
  decoder: Decoder,
  tensors: ReadonlyMap<string, StoredTensor>,
  { servedLength, joins, readFloats }: BuildOptions,
): DecoderGraph {
  const b = new GraphBuilder(tensors);
  const tables = new RotaryTables(servedLength);
  const sites: RecognizedSite[] = [];
  let x = embedded(b, decoder);
  const inputs = decoder.layerInputs ? layerInputs(b, x, decoder.layerInputs, decoder) : [];
  const { streams } = decoder;
  if (streams) x = spreadStreams(b, x, streams);
  for (const [layer, description] of decoder.layers.entries()) {
    const mix = (input: string, mixer: Mixer): string => {
      const given = scaled(b, input, mixer.inputScale ?? 1);
      const made =
        mixer.kind === 'attention'
          ? attentionLayer(b, given, mixer, {
              layer,
              servedLength,
              tables,
              joins,
              sinks: mixer.sinks && readFloats(mixer.sinks),
            })
          : stateLayer(b, given, mixer, { place: `layers.${layer}`, readFloats });
      sites.push(...made.sites);
      return scaled(b, made.output, mixer.outputScale ?? 1);
    };
    const context = { mix, input: inputs[layer], width: decoder.hiddenSize, streams };
    x = decoderLayer(b, x, description, context);
  }
  if (streams) x = mergedStreams(b, x, streams);
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

/** The length at which LongRoPE changes its angles, if longer sequences are served. */
function lengthsOf({ layers }: Decoder, servedLength: number): number[] {
  const rotations = layers.flatMap(({ mixers }) =>
    mixers.flatMap((mixer) => (mixer.kind === 'attention' ? [mixer.rotary] : [])),
  );
  const lengths = rotations.flatMap((rotary) =>
    rotary?.long && rotatesInGraph(rotary, servedLength) ? [rotary.long.beyond] : [],
  );
  return [...new Set(lengths)];
}
