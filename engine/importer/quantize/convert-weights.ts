import type { Graph } from '../graph.js';
import { type TensorProto, TensorProto_DataType as Type } from '../onnx/onnx_pb.js';
import { copyRest } from './copy-rest.js';
import type { Embedding, Matmul, QuantizePlan, WeightSource } from './find-matmuls.js';
import { columnPieces, rowPieces, turnedPasses, turnedPieces } from './int8-pieces.js';
import { WeightKernel } from './kernel/weight-kernel.js';
import { guard } from './not-finite.js';
import { openSource, sourceName } from './open-source.js';
import { type ConversionProgress, progressOf } from './progress.js';
import type { Activations, WeightBits } from './quantization.js';
import { quantizeMatmuls, type WeightTensors } from './quantize-matmuls.js';
import { DenseMatrix, type StoredMatrix, TensorBytes } from './stored-matrix.js';
import type { WeightsFile } from './weights-file.js';

export interface ConvertOptions {
  readonly bits: WeightBits;
  /** Of packed weights that are not converted. */
  readonly activations: Activations;
  readonly onProgress: ConversionProgress;
}

/**
 * Writes the int8 weights of a plan into `target`, rewrites the graph to read them, and copies all
 * other external data, so that the graph needs no other file. At any time, memory holds at most 256
 * MiB of a matrix as int8, and a few of its rows as float32.
 *
 * @throws OctavoError `model_file_corrupt` for weights that are not finite
 */
export async function convertWeights(
  graph: Graph,
  plan: QuantizePlan,
  target: WeightsFile,
  options: ConvertOptions,
): Promise<void> {
  const bytes = new TensorBytes(graph.file);
  try {
    await new Conversion(graph, target, bytes, options).run(plan);
  } finally {
    bytes.close();
  }
}

class Conversion {
  readonly #graph: Graph;
  readonly #bits: WeightBits;
  readonly #target: WeightsFile;
  readonly #bytes: TensorBytes;
  readonly #kernel = new WeightKernel();
  readonly #activations: Activations;
  readonly #onProgress: ConversionProgress;
  /** Two nodes may share a weight. */
  readonly #written = new Map<string, WeightTensors>();
  /** Of embeddings that are tied to the LM head. */
  #rows: WeightTensors | null = null;
  #progress: ReturnType<typeof progressOf> = async () => undefined;

  constructor(
    graph: Graph,
    target: WeightsFile,
    bytes: TensorBytes,
    { bits, activations, onProgress }: ConvertOptions,
  ) {
    this.#graph = graph;
    this.#bits = bits;
    this.#target = target;
    this.#bytes = bytes;
    this.#activations = activations;
    this.#onProgress = onProgress;
  }

  async run(plan: QuantizePlan): Promise<void> {
    const matrices = plan.matmuls.map(({ source }) => openSource(this.#graph, source, this.#bytes));
    const total = plan.matmuls.reduce(
      (sum, { source }, i) => sum + readBytes(source, matrices[i]),
      0,
    );
    this.#progress = progressOf(this.#onProgress, 'rewriting weights as w8a8', total);
    const tensors = new Map<Matmul | Embedding, WeightTensors>();
    for (const [index, matmul] of plan.matmuls.entries()) {
      const tied = matmul === plan.matmuls.at(-1) ? plan.embeddings.at(0) : undefined;
      tensors.set(matmul, await this.#matmul(matmul, matrices[index], tied));
    }
    for (const embedding of plan.embeddings) {
      if (this.#rows) tensors.set(embedding, this.#rows);
    }
    quantizeMatmuls(this.#graph, plan, tensors);
    const own = [...tensors.values()].flatMap((t) => [t.values.name, t.scales.name]);
    await copyRest(this.#graph, new Set(own), this.#target, this.#activations, this.#progress);
  }

  /** @param tied an embedding that holds the same numbers */
  async #matmul(
    matmul: Matmul,
    matrix: StoredMatrix,
    tied: Embedding | undefined,
  ): Promise<WeightTensors> {
    const { source, inputs, outputs, node } = matmul;
    const weight = sourceName(source);
    const name = `${weight}/octavo.w8a8${hasRowChannels(source) ? '.turned' : ''}`;
    const known = this.#written.get(name);
    if (known && !tied) {
      await this.#progress(readBytes(source, matrix));
      return known;
    }
    const rowsName = `${weight}/octavo.rows`;
    const names = [name, `${name}.scales`, ...(tied ? [rowsName, `${rowsName}.scales`] : [])];
    const kept = this.#target.kept(names);
    if (kept) {
      await this.#progress(readBytes(source, matrix));
      if (tied) this.#rows = { values: kept[2], scales: kept[3] };
      this.#written.set(name, { values: kept[0], scales: kept[1] });
      return { values: kept[0], scales: kept[1] };
    }
    const scales = new Float32Array(outputs);
    const [kernel, bits, progress] = [this.#kernel, this.#bits, this.#progress];
    const pieces = hasRowChannels(source)
      ? turnedPieces(kernel, matrix, bits, scales, progress)
      : columnPieces(kernel, matrix, bits, scales, progress);
    const written = await guard(this.#graph, node.name, async () => ({
      values: await this.#add(name, [inputs, outputs], Type.INT8, pieces),
      scales: await this.#add(`${name}.scales`, [outputs], Type.FLOAT, [bytesOf(scales)]),
    }));
    this.#written.set(name, written);
    if (tied) this.#rows = await this.#writeRows(rowsName, tied, scales);
    return written;
  }

  /** The LM head's numbers again, as the rows of a table that is looked up. */
  async #writeRows(
    name: string,
    { tensor }: Embedding,
    scales: Float32Array,
  ): Promise<WeightTensors> {
    const table = new DenseMatrix(tensor, this.#bytes);
    const { rows, columns } = table;
    const pieces = rowPieces(this.#kernel, table, scales);
    return {
      values: await this.#add(name, [rows, columns], Type.INT8, pieces),
      scales: await this.#add(`${name}.scales`, [rows, 1], Type.FLOAT, [bytesOf(scales)]),
    };
  }

  #add(
    name: string,
    dims: readonly number[],
    type: Type,
    pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  ): Promise<TensorProto> {
    return this.#target.add(name, dims.map(BigInt), type, pieces);
  }
}

function bytesOf(data: Float32Array): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/** Columns are read twice: for their largest magnitudes, and for their values. */
function readBytes(source: WeightSource, matrix: StoredMatrix): number {
  return matrix.bytes * (hasRowChannels(source) ? turnedPasses(matrix) : 2);
}

/** Whether output channels are rows of the stored matrix. */
function hasRowChannels(source: WeightSource): boolean {
  return source.kind !== 'dense' || source.turned;
}
