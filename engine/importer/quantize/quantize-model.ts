import { OctavoError } from '../../errors.js';
import type { Graph } from '../graph.js';
import type { TensorProto } from '../onnx/onnx_pb.js';
import { byteLength } from '../tensor-data.js';
import { liveParts } from '../write-model.js';
import type { Calibration } from './calibration.js';
import { convertWeights } from './convert-weights.js';
import { exactWeightBits } from './exact-weight-bits.js';
import {
  LEFT_INT8,
  LEFT_PACKED,
  planQuantization,
  type QuantizePlan,
  type WeightSource,
} from './find-matmuls.js';
import { packedTensors } from './packed-source.js';
import type { ConversionProgress } from './progress.js';
import type { Activations, QuantizedKind, QuantizeScope, WeightBits } from './quantization.js';
import { type Rewrite, rewriteModel } from './rewrite-model.js';
import { roundWeights } from './round-weights.js';
import { TensorBytes } from './stored-matrix.js';
import { isTied } from './tied-embeddings.js';
import { hasPacked, ROUNDED_ACTIVATIONS } from './unpack-model.js';

/** Part of every key: raise it whenever the rewriting changes. */
const PASS_VERSION = 5;

export interface QuantizeModelOptions extends Omit<QuantizeScope, 'kind'> {
  /** Absent: w8a8. */
  readonly kind?: QuantizedKind | 'auto';
  /**
   * Whether each matmul applies all of its scales itself, so that something may be added to its
   * result; default: some leave a factor to those that follow (`deferred-scales.ts`).
   */
  readonly scalesAtOnce?: boolean;
  /** Directory of rewritten models. */
  readonly cacheDir: string;
  /** Of weights in blocks; default: exact. */
  readonly activations?: Activations;
  /** Texts that `q4` and `q8` are rounded by; absent: each group of weights by itself. */
  readonly calibration?: Calibration;
  /** Called while weights are converted; not called when the cache has them. */
  readonly onProgress?: ConversionProgress;
  /** How many bits are exact on this CPU. Measured by default; tests set it. */
  readonly weightBits?: () => Promise<WeightBits | null>;
}

/** A model's weights are rewritten as one kind. */
export type ChosenQuantization = QuantizeModelOptions & { readonly kind?: QuantizedKind };

/**
 * Rewrites a graph's weights on disk: as W8A8, or rounded by groups of inputs. Weights are read and
 * written in pieces, and the next start finds the result in the cache.
 *
 * @param graph as in its file, or after passes that are deterministic; consumed
 * @returns the rewritten graph, whose files are in the cache
 * @throws OctavoError `cpu_unsupported`, `model_cache_unusable`, `model_unsupported` when there is
 *   nothing to quantize
 */
export async function quantizeModel(graph: Graph, options: ChosenQuantization): Promise<Graph> {
  const { kind = 'w8a8', scalesAtOnce = false, calibration, activations = 'exact' } = options;
  const bits = kind === 'w8a8' ? await int8Bits(options) : null;
  const salt = [PASS_VERSION, bits, options.nbits, ...(scalesAtOnce ? ['at once'] : [])];
  if (kind !== 'w8a8' || hasPacked(graph)) salt.push(activations);
  if (calibration) salt.push(calibration.key);
  return rewriteModel(graph, options.cacheDir, { label: kind, salt }, () =>
    plannedRewrite(graph, options, bits),
  );
}

/** Bits of weights whose products with activations of 8 bits are exact here. */
async function int8Bits({
  weightBits = exactWeightBits,
}: QuantizeModelOptions): Promise<WeightBits> {
  const bits = await weightBits();
  if (bits === null) {
    throw new OctavoError(
      'cpu_unsupported',
      '--quantize w8a8: this CPU multiplies 8-bit numbers with saturating sums, even with 7-bit weights; serve without it',
      { param: '--quantize' },
    );
  }
  return bits;
}

export function planOf(graph: Graph, scope: QuantizeScope): QuantizePlan {
  const bytes = new TensorBytes(graph.file);
  try {
    return planQuantization(graph, scope, (table, head) => isTied(table, head, bytes));
  } finally {
    bytes.close();
  }
}

function plannedRewrite(
  graph: Graph,
  options: ChosenQuantization,
  bits: WeightBits | null,
): Rewrite {
  const { kind = 'w8a8', scalesAtOnce = false, activations = 'exact' } = options;
  const { calibration, onProgress = () => undefined } = options;
  const plan = { ...planOf(graph, options), scalesAtOnce };
  if (plan.matmuls.length === 0) {
    const reasons = plan.left.map(({ node, reason }) => `${node.name}: ${reason}`);
    throw new OctavoError(
      'model_unsupported',
      `${graph.file}: --quantize ${kind} finds no matmul with a constant weight to quantize` +
        (reasons.length > 0 ? ` (${reasons.slice(0, 3).join('; ')})` : ''),
    );
  }
  if (calibration) refusePacked(graph, plan);
  return {
    bytes: sizeAfter(graph, plan),
    rewrites: [
      ...describePlan(plan, kind, bits, activations),
      ...(calibration ? [`${kind}: rounded by texts (${calibration.key})`] : []),
    ],
    convert: (weights) =>
      bits === null
        ? roundWeights(graph, plan, kind === 'q4' ? 4 : 8, weights, {
            onProgress,
            calibration,
            activations,
          })
        : convertWeights(graph, plan, weights, { bits, activations, onProgress }),
  };
}

/** @throws OctavoError `model_unsupported` when a weight lies in whole numbers already */
function refusePacked({ file }: Graph, { matmuls, left }: QuantizePlan): void {
  const packed =
    matmuls.find(({ source }) => source.kind === 'nbits' || source.kind === 'unpacked') ??
    left.find(({ reason }) => reason === LEFT_PACKED || reason === LEFT_INT8);
  if (!packed) return;
  throw new OctavoError(
    'model_unsupported',
    `${file}: --calibrate rounds weights of float32, float16 and bfloat16; that of node ${packed.node.name} is packed already: serve it without --quantize and --calibrate`,
    { param: '--calibrate' },
  );
}

/** Describes for users what is quantized, and what is not. */
export function describePlan(
  plan: QuantizePlan,
  kind: QuantizedKind,
  bits: WeightBits | null,
  activations: Activations,
): string[] {
  const { matmuls, embeddings, left } = plan;
  const weights = matmuls.reduce((n, { inputs, outputs }) => n + inputs * outputs, 0);
  const millions = `${(weights / 1e6).toFixed(1)} million weights`;
  const lines = [
    kind === 'w8a8'
      ? `w8a8: ${matmuls.length} matmuls of ${activationsOf(plan)} activations, ${millions} in ${bits} bits${bits === 8 ? '' : ' (with 8, the sums of this CPU would saturate)'}`
      : `${kind}: ${matmuls.length} matmuls, ${millions} in ${kind === 'q4' ? 4 : 8} bits by groups of inputs; ${activations === 'exact' ? 'activations stay exact' : ROUNDED_ACTIVATIONS}`,
  ];
  for (const { node } of embeddings)
    lines.push(`${kind}: embedding ${node.name}, tied to the LM head`);
  const reasons = new Map<string, string[]>();
  for (const { node, reason } of left) {
    reasons.set(reason, [...(reasons.get(reason) ?? []), node.name || node.output[0]]);
  }
  for (const [reason, nodes] of reasons) {
    const names = nodes.length > 2 ? `${nodes[0]} and ${nodes.length - 1} more` : nodes.join(', ');
    lines.push(`${kind}: left as they are: ${names} (${reason})`);
  }
  return lines;
}

/** The tensors that a weight consists of, its numbers first. */
export function tensorsOf(graph: Graph, source: WeightSource): readonly TensorProto[] {
  switch (source.kind) {
    case 'dense':
      return [source.tensor];
    case 'joined':
      return source.tensors;
    case 'nbits':
      return [source.packed];
    case 'unpacked':
      return packedTensors(graph, source.node);
  }
}

function activationsOf({ matmuls }: QuantizePlan): number {
  return new Set(matmuls.map(({ activation }) => activation)).size;
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
