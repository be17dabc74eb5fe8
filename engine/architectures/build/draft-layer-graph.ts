import type { StoredTensor } from '../../checkpoint/stored-tensor.js';
import { DRAFT_TENSOR, STEP_INPUT } from '../../importer/imported-model.js';
import { makeValueInfo } from '../../importer/onnx/nodes.js';
import { type ModelProto, TensorProto_DataType as Type } from '../../importer/onnx/onnx_pb.js';
import type { RecognizedSite } from '../../importer/recognizers/recognizer.js';
import type { Linear, Norm } from '../decoder.js';
import type { DraftLayer, DraftLayers } from '../draft-layers/draft-layers.js';
import { attentionLayer } from './attention.js';
import type { BuildOptions } from './decoder-graph.js';
import { decoderLayer } from './decoder-layer.js';
import { GraphBuilder } from './graph-builder.js';
import { normLayer } from './layers.js';
import { RotaryTables } from './rotary-tables.js';
import { nameOf } from './stored-weights.js';

/**
 * The graph of one layer that drafts: from embeddings and hidden rows `[1, T, hiddenSize]` and
 * positions `[1, T]` to rows that stand for the next hidden ones.
 *
 * @param tensors all that the description names, checked
 */
export function buildDraftLayer(
  { hiddenSize }: DraftLayers,
  { embeddingNorm, hiddenNorm, fuse, layer, outputNorm }: DraftLayer,
  tensors: ReadonlyMap<string, StoredTensor>,
  { servedLength, readFloats }: Omit<BuildOptions, 'joins'>,
): { readonly model: ModelProto; readonly sites: readonly RecognizedSite[] } {
  const b = new GraphBuilder(tensors);
  const tables = new RotaryTables(servedLength);
  const sites: RecognizedSite[] = [];
  const normed = (x: string, norm: Norm | null): string => (norm ? normLayer(b, x, norm) : x);
  const embedding = normed(DRAFT_TENSOR.embeddings, embeddingNorm);
  const hidden = normed(DRAFT_TENSOR.hidden, hiddenNorm);
  const joined = b.node('Concat', 'draft.joined', [embedding, hidden], { axis: 2 });
  const made = decoderLayer(b, fused(b, joined, fuse), layer, {
    mix: (input, mixer) => {
      if (mixer.kind !== 'attention') throw new Error('a layer that drafts attends');
      const { sinks } = mixer;
      const attended = attentionLayer(b, input, mixer, {
        layer: 0,
        servedLength,
        tables,
        joins: 'none',
        sinks: sinks && readFloats(sinks),
        hidesFirst: true,
      });
      sites.push(...attended.sites);
      return attended.output;
    },
    input: undefined,
    width: hiddenSize,
    streams: undefined,
  });
  b.node('Identity', DRAFT_TENSOR.output, [normed(made, outputNorm)]);
  const model = b.build(
    [
      makeValueInfo(STEP_INPUT.positionIds, Type.INT64),
      makeValueInfo(STEP_INPUT.sequenceLengths, Type.INT64),
      makeValueInfo(DRAFT_TENSOR.embeddings, Type.FLOAT),
      makeValueInfo(DRAFT_TENSOR.hidden, Type.FLOAT),
    ],
    [makeValueInfo(DRAFT_TENSOR.output, Type.FLOAT)],
    'octavo',
  );
  return { model, sites };
}

/**
 * Joins embedding and hidden row. It is no MatMul, which `--quantize` would round: the two differ
 * in magnitude, and with one scale for both nothing of the smaller would be left.
 */
function fused(b: GraphBuilder, x: string, { weight, bias }: Linear): string {
  const name = nameOf(weight).replace(/\.weight$/, '');
  const product = b.contrib('FusedMatMul', name, [x, b.weight(weight)], { transB: 1 });
  return bias ? b.node('Add', `${name}/biased`, [product, b.weight(bias)]) : product;
}
