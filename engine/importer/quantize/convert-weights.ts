import { OctavoError } from '../../errors.js';
import type { Graph } from '../graph.js';
import { type TensorProto, TensorProto_DataType as Type } from '../onnx/onnx_pb.js';
import { byteLength, isExternal } from '../tensor-data.js';
import { liveParts } from '../write-model.js';
import { copyWeights } from './copy-weights.js';
import type { Embedding, Matmul, QuantizePlan, WeightSource } from './find-matmuls.js';
import { NBitsMatrix } from './nbits-matrix.js';
import { denseSource } from './packed-source.js';
import { type ConversionProgress, progressOf } from './progress.js';
import type { WeightBits } from './quantization.js';
import { quantizeMatmuls, type WeightTensors } from './quantize-matmuls.js';
import {
  NotFiniteError,
  type QuantizedMatrix,
  quantizeColumns,
  quantizeRows,
} from './quantize-matrix.js';
import { DenseMatrix, type StoredMatrix, TensorBytes } from './stored-matrix.js';
import { packedIn, unpackWeights } from './unpack-model.js';
import type { WeightsFile } from './weights-file.js';

/**
 * Writes the int8 weights of a plan into `target`, rewrites the graph to read them, and copies all
 * other external data, so that the graph needs no other file. At any time, memory holds one matrix
 * as int8, and a few of its rows as float32.
 *
 * @throws OctavoError `model_file_corrupt` for weights that are not finite
 */
export async function convertWeights(
  graph: Graph,
  plan: QuantizePlan,
  bits: WeightBits,
  target: WeightsFile,
  onProgress: ConversionProgress,
): Promise<void> {
  const bytes = new TensorBytes(graph.file);
  try {
    await new Conversion(graph, bits, target, bytes, onProgress).run(plan);
  } finally {
    bytes.close();
  }
}

class Conversion {
  readonly #graph: Graph;
  readonly #bits: WeightBits;
  readonly #target: WeightsFile;
  readonly #bytes: TensorBytes;
  readonly #onProgress: ConversionProgress;
  /** Two nodes may share a weight. */
  readonly #written = new Map<string, WeightTensors>();
  #progress: ReturnType<typeof progressOf> = async () => undefined;

  constructor(
    graph: Graph,
    bits: WeightBits,
    target: WeightsFile,
    bytes: TensorBytes,
    onProgress: ConversionProgress,
  ) {
    this.#graph = graph;
    this.#bits = bits;
    this.#target = target;
    this.#bytes = bytes;
    this.#onProgress = onProgress;
  }

  async run(plan: QuantizePlan): Promise<void> {
    const matrices = plan.matmuls.map((matmul) => this.#open(matmul.source));
    const total =
      plan.matmuls.reduce((sum, { source }, i) => sum + readBytes(source, matrices[i]), 0) +
      plan.embeddings.reduce((sum, { tensor }) => sum + byteLength(tensor), 0);
    this.#progress = progressOf(this.#onProgress, total);
    const tensors = new Map<Matmul | Embedding, WeightTensors>();
    for (const [index, matmul] of plan.matmuls.entries()) {
      tensors.set(matmul, await this.#matmul(matmul, matrices[index]));
    }
    for (const embedding of plan.embeddings) {
      tensors.set(embedding, await this.#embedding(embedding));
    }
    quantizeMatmuls(this.#graph, plan, tensors);
    await this.#copyRest(new Set([...tensors.values()].flatMap((t) => [t.values, t.scales])));
  }

  async #matmul(matmul: Matmul, matrix: StoredMatrix): Promise<WeightTensors> {
    const { source, inputs, outputs, node } = matmul;
    const weight = nameOf(source);
    const name = `${weight}/octavo.w8a8${hasRowChannels(source) ? '.turned' : ''}`;
    const known = this.#written.get(name);
    if (known) {
      await this.#progress(readBytes(source, matrix));
      return known;
    }
    const quantized = await this.#guard(node.name, () =>
      hasRowChannels(source)
        ? quantizeRows(matrix, this.#bits, true, this.#progress)
        : quantizeColumns(matrix, this.#bits, this.#progress),
    );
    const written = await this.#write(name, [inputs, outputs], [outputs], quantized);
    this.#written.set(name, written);
    return written;
  }

  async #embedding({ tensor, node }: Embedding): Promise<WeightTensors> {
    const matrix = new DenseMatrix(tensor, this.#bytes);
    const quantized = await this.#guard(node.name, () =>
      quantizeRows(matrix, this.#bits, false, this.#progress),
    );
    const { rows, columns } = matrix;
    return this.#write(`${tensor.name}/octavo.rows`, [rows, columns], [rows, 1], quantized);
  }

  async #write(
    name: string,
    dims: readonly number[],
    scaleDims: readonly number[],
    { values, scales }: QuantizedMatrix,
  ): Promise<WeightTensors> {
    const add = (
      at: string,
      sizes: readonly number[],
      type: Type,
      data: Int8Array | Float32Array,
    ) => {
      const piece = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      return this.#target.add(at, sizes.map(BigInt), type, [piece]);
    };
    return {
      values: await add(name, dims, Type.INT8, values),
      scales: await add(`${name}.scales`, scaleDims, Type.FLOAT, scales),
    };
  }

  /**
   * Copies norms, biases, rotary tables and untied embeddings unchanged, and unpacks what is packed
   * and not quantized.
   */
  async #copyRest(own: ReadonlySet<TensorProto>): Promise<void> {
    const packed = packedIn(this.#graph);
    const rest = liveParts(this.#graph).initializers.filter(
      (tensor) => isExternal(tensor) && !own.has(tensor) && !packed.has(tensor),
    );
    await unpackWeights(this.#graph, this.#target, this.#progress);
    await copyWeights(this.#graph.file, rest, new Set(), this.#target, async () => undefined);
  }

  #open(source: WeightSource): StoredMatrix {
    switch (source.kind) {
      case 'dense':
        return new DenseMatrix(source.tensor, this.#bytes);
      case 'nbits':
        return new NBitsMatrix(source.node, source, this.#bytes);
      case 'unpacked':
        return denseSource(this.#graph, source.node, this.#bytes);
    }
  }

  async #guard<T>(node: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof NotFiniteError)) throw error;
      throw new OctavoError(
        'model_file_corrupt',
        `${this.#graph.file}: the weight of node ${node} holds a number that is infinite or NaN; int8 cannot hold it`,
      );
    }
  }
}

/** Columns are read twice: for their largest magnitudes, and for their values. */
function readBytes(source: WeightSource, { bytes }: StoredMatrix): number {
  return hasRowChannels(source) ? bytes : 2 * bytes;
}

/** Whether output channels are rows of the stored matrix. */
function hasRowChannels(source: WeightSource): boolean {
  return source.kind !== 'dense' || source.turned;
}

function nameOf(source: WeightSource): string {
  switch (source.kind) {
    case 'dense':
      return source.tensor.name;
    case 'nbits':
      return source.packed.name;
    case 'unpacked':
      return source.node.output[0];
  }
}
