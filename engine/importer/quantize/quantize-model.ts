import { OctavoError } from '../../errors.js';
import type { Graph } from '../graph.js';
import type { TensorProto } from '../onnx/onnx_pb.js';
import { byteLength } from '../tensor-data.js';
import { liveParts } from '../write-model.js';
import { convertWeights } from './convert-weights.js';
import { exactWeightBits } from './exact-weight-bits.js';
import { planQuantization, type QuantizePlan, type WeightSource } from './find-matmuls.js';
import { packedTensors } from './packed-source.js';
import type { ConversionProgress } from './progress.js';
import type { QuantizeScope, WeightBits } from './quantization.js';
import { type Rewrite, rewriteModel } from './rewrite-model.js';
import { TensorBytes } from './stored-matrix.js';
import { isTied } from './tied-embeddings.js';

/** Part of every key: raise it whenever the rewriting changes. */
const PASS_VERSION = 3;

export interface QuantizeModelOptions extends QuantizeScope {
  /** Directory of rewritten models. */
  readonly cacheDir: string;
  /** Called while weights are converted; not called when the cache has them. */
  readonly onProgress?: ConversionProgress;
  /** How many bits are exact on this CPU. Measured by default; tests set it. */
  readonly weightBits?: () => Promise<WeightBits | null>;
}

/**
 * Rewrites a graph's matmuls as W8A8 on disk. Weights are read and written in pieces, and the next
 * start finds the result in the cache.
 *
 * @param graph as in its file, or after passes that are deterministic; consumed
 * @returns the rewritten graph, whose files are in the cache
 * @throws OctavoError `cpu_unsupported`, `model_cache_unusable`, `model_unsupported` when there is
 *   nothing to quantize
 */
export async function quantizeModel(graph: Graph, options: QuantizeModelOptions): Promise<Graph> {
  const bits = await (options.weightBits ?? exactWeightBits)();
  if (bits === null) {
    throw new OctavoError(
      'cpu_unsupported',
      '--quantize w8a8: this CPU multiplies 8-bit numbers with saturating sums, even with 7-bit weights; serve without it',
      { param: '--quantize' },
    );
  }
  const salt = [PASS_VERSION, bits, options.nbits];
  return rewriteModel(graph, options.cacheDir, { label: 'w8a8', salt }, () =>
    plannedRewrite(graph, options, bits),
  );
}

function planOf(graph: Graph, scope: QuantizeScope): QuantizePlan {
  const bytes = new TensorBytes(graph.file);
  try {
    return planQuantization(graph, scope, (table, head) => isTied(table, head, bytes));
  } finally {
    bytes.close();
  }
}

/** Describes, line by line, what W8A8 would do to a model. @param bits null when this CPU cannot */
export function inspectQuantization(
  graph: Graph,
  scope: QuantizeScope,
  bits: WeightBits | null,
): string[] {
  if (bits === null) return ['nothing: this CPU multiplies 8-bit numbers with saturating sums'];
  return describePlan(planOf(graph, scope), bits);
}

function plannedRewrite(graph: Graph, options: QuantizeModelOptions, bits: WeightBits): Rewrite {
  const plan = planOf(graph, options);
  if (plan.matmuls.length === 0) {
    const reasons = plan.left.map(({ node, reason }) => `${node.name}: ${reason}`);
    throw new OctavoError(
      'model_unsupported',
      `${graph.file}: --quantize w8a8 finds no matmul with a constant weight to quantize` +
        (reasons.length > 0 ? ` (${reasons.slice(0, 3).join('; ')})` : ''),
    );
  }
  const { onProgress = () => undefined } = options;
  return {
    bytes: sizeAfter(graph, plan),
    rewrites: describePlan(plan, bits),
    convert: (weights) => convertWeights(graph, plan, bits, weights, onProgress),
  };
}

/** Describes for users what is quantized, and what is not. */
function describePlan(plan: QuantizePlan, bits: WeightBits): string[] {
  const { matmuls, embeddings, left } = plan;
  const activations = new Set(matmuls.map(({ activation }) => activation)).size;
  const weights = matmuls.reduce((n, { inputs, outputs }) => n + inputs * outputs, 0);
  const sevenBits = bits === 8 ? '' : ' (with 8, the sums of this CPU would saturate)';
  const lines = [
    `w8a8: ${matmuls.length} matmuls of ${activations} activations, ${(weights / 1e6).toFixed(1)} million weights in ${bits} bits${sevenBits}`,
  ];
  for (const { node } of embeddings)
    lines.push(`w8a8: embedding ${node.name}, tied to the LM head`);
  const reasons = new Map<string, string[]>();
  for (const { node, reason } of left) {
    reasons.set(reason, [...(reasons.get(reason) ?? []), node.name || node.output[0]]);
  }
  for (const [reason, nodes] of reasons) {
    const names = nodes.length > 2 ? `${nodes[0]} and ${nodes.length - 1} more` : nodes.join(', ');
    lines.push(`w8a8: left as they are: ${names} (${reason})`);
  }
  return lines;
}

function tensorsOf(graph: Graph, source: WeightSource): readonly TensorProto[] {
  switch (source.kind) {
    case 'dense':
      return [source.tensor];
    case 'nbits':
      return [source.packed];
    case 'unpacked':
      return packedTensors(graph, source.node);
  }
}

/** Approximate size in bytes: one for each quantized weight, and all other weights unchanged. */
function sizeAfter(graph: Graph, { matmuls, embeddings }: QuantizePlan): number {
  const replaced = new Set<TensorProto>(embeddings.map(({ tensor }) => tensor));
  let bytes = embeddings.reduce((n, { tensor }) => n + byteLength(tensor) / 4, 0);
  for (const { source, inputs, outputs } of matmuls) {
    for (const tensor of tensorsOf(graph, source)) replaced.add(tensor);
    bytes += inputs * outputs;
  }
  for (const tensor of liveParts(graph).initializers) {
    if (!replaced.has(tensor)) bytes += byteLength(tensor);
  }
  return bytes;
}
