import type { Graph } from '../graph.js';
import { BlockMatmuls } from './block-matmuls.js';
import { CalibratedRounding } from './calibrated-matrix.js';
import type { CalibratedInput, Calibration, MomentSource } from './calibration.js';
import { copyRest } from './copy-rest.js';
import type { Matmul, QuantizePlan, WeightSource } from './find-matmuls.js';
import { WeightKernel } from './kernel/weight-kernel.js';
import { guard } from './not-finite.js';
import { openSource, sourceName } from './open-source.js';
import { asRows, type BlockedWeight, writeBlocked } from './packed-weight.js';
import { type ConversionProgress, progressOf } from './progress.js';
import type { Activations } from './quantization.js';
import { groupFor, roundedMatrix } from './round-blocks.js';
import { DenseMatrix, type StoredMatrix, TensorBytes, TurnedMatrix } from './stored-matrix.js';
import type { WeightsFile } from './weights-file.js';

export interface RoundOptions {
  readonly onProgress: ConversionProgress;
  /** See `QuantizeModelOptions`. */
  readonly calibration: Calibration | undefined;
  readonly activations: Activations;
}

/**
 * Writes the weights of a plan into `target`, rounded to 4 or 8 bits by groups of inputs, rewrites
 * the graph to multiply with them, and copies all other external data. Memory holds one piece of a
 * matrix at a time, and its scales; with calibration, the moments of a layer's inputs, too.
 *
 * @throws OctavoError `model_file_corrupt` for weights that are not finite
 */
export async function roundWeights(
  graph: Graph,
  plan: QuantizePlan,
  bits: 4 | 8,
  target: WeightsFile,
  { onProgress, calibration, activations }: RoundOptions,
): Promise<void> {
  const bytes = new TensorBytes(graph.file);
  const moments = await calibration?.collect(inputsOf(plan));
  try {
    const matrices = new Map<string, StoredMatrix>();
    for (const { source } of plan.matmuls) {
      if (!matrices.has(sourceName(source))) {
        matrices.set(sourceName(source), byOutputs(graph, source, bytes));
      }
    }
    const total = [...matrices.values()].reduce((sum, matrix) => sum + matrix.bytes, 0);
    const progress = progressOf(
      onProgress,
      `rewriting weights as q${bits}${moments ? ' by texts' : ''}`,
      total,
    );
    const weights = new Map<string, BlockedWeight>();
    const writer = new BlockMatmuls(graph, activations);
    const kernel = new WeightKernel();
    const calibrated = moments ? new CalibratedRounding(kernel, moments) : null;
    for (const { node, source, inputs, bias, activation } of inStages(plan.matmuls, moments)) {
      const name = sourceName(source);
      const matrix = matrices.get(name);
      const group = groupFor(bits, inputs);
      if (!matrix || group === null) throw new Error(`${name} was planned, but cannot be rounded`);
      let weight = weights.get(name);
      if (!weight) {
        const rounded =
          calibrated?.matrix(matrix, bits, group, activation) ??
          roundedMatrix(kernel, matrix, bits, group);
        weight = await guard(graph, node.name, () =>
          writeBlocked(`${name}/octavo.q${bits}`, rounded, target, progress),
        );
        weights.set(name, weight);
        writer.keep(weight);
      }
      writer.matmul(node, weight, bias);
    }
    const head = plan.matmuls.at(-1);
    const table = head && weights.get(sourceName(head.source));
    // The LM head's numbers serve an embedding that is tied to it.
    for (const { node } of plan.embeddings) if (table) writer.lookUp(node, table);
    writer.finish();
    const own = [...weights.values()].flatMap((weight) => [
      weight.values.name,
      weight.scales.name,
      asRows(weight).name,
    ]);
    await copyRest(graph, new Set(own), target, activations, async () => undefined);
  } finally {
    bytes.close();
    await moments?.close();
  }
}

/** What is multiplied with the weights of a plan, each once. */
function inputsOf({ matmuls }: QuantizePlan): CalibratedInput[] {
  const widths = new Map(matmuls.map(({ activation, inputs }) => [activation, inputs]));
  return [...widths].map(([name, width]) => ({ name, width }));
}

/** In the order in which the model computes their inputs; those of one input together. */
function inStages(
  matmuls: readonly Matmul[],
  moments: MomentSource | undefined,
): readonly Matmul[] {
  if (!moments) return matmuls;
  const names = [...new Set(matmuls.map(({ activation }) => activation))];
  const order = names.toSorted((a, b) => moments.stageOf(a) - moments.stageOf(b));
  return order.flatMap((name) => matmuls.filter(({ activation }) => activation === name));
}

/** The matrix of a weight, with a row for each output. */
function byOutputs(graph: Graph, source: WeightSource, bytes: TensorBytes): StoredMatrix {
  return source.kind === 'dense' && !source.turned
    ? new TurnedMatrix(new DenseMatrix(source.tensor, bytes))
    : openSource(graph, source, bytes);
}
