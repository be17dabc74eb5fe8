import { OctavoError } from '../../errors.js';
import type { Graph } from '../graph.js';
import { type TensorProto, TensorProto_DataType as Type } from '../onnx/onnx_pb.js';
import { byteLength, isExternal } from '../tensor-data.js';
import { liveParts } from '../write-model.js';
import { copyWeight } from './copy-weights.js';
import type { Embedding, Matmul, QuantizePlan, WeightSource } from './find-matmuls.js';
import { NBitsMatrix } from './nbits-matrix.js';
import type { WeightBits } from './quantization.js';
import { quantizeMatmuls, type WeightTensors } from './quantize-matmuls.js';
import {
  NotFiniteError,
  type QuantizedMatrix,
  quantizeColumns,
  quantizeRows,
} from './quantize-matrix.js';
import { DenseMatrix, type StoredMatrix, TensorBytes } from './stored-matrix.js';
import type { WeightsFile } from './weights-file.js';

/** Receives the bytes of weights read so far, and in total. */
export type ConversionProgress = (done: number, total: number) => void;

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
  #done = 0;
  #total = 0;

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
    // Columns are read twice: for their largest magnitudes, and for their values.
    for (const [index, { source }] of plan.matmuls.entries()) {
      this.#total += matrices[index].bytes * (hasRowChannels(source) ? 1 : 2);
    }
    for (const { tensor } of plan.embeddings) this.#total += byteLength(tensor);
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
    const weight = source.kind === 'dense' ? source.tensor.name : source.packed.name;
    const name = `${weight}/octavo.w8a8${hasRowChannels(source) ? '.turned' : ''}`;
    const known = this.#written.get(name);
    if (known) {
      this.#advance(matrix.bytes * (hasRowChannels(source) ? 1 : 2));
      return known;
    }
    const quantized = await this.#guard(node.name, () =>
      hasRowChannels(source)
        ? quantizeRows(matrix, this.#bits, true, this.#pause)
        : quantizeColumns(matrix, this.#bits, this.#pause),
    );
    const written = await this.#write(name, [inputs, outputs], [outputs], quantized);
    this.#written.set(name, written);
    return written;
  }

  async #embedding({ tensor, node }: Embedding): Promise<WeightTensors> {
    const matrix = new DenseMatrix(tensor, this.#bytes);
    const quantized = await this.#guard(node.name, () =>
      quantizeRows(matrix, this.#bits, false, this.#pause),
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

  /** Copies norms, biases, rotary tables and untied embeddings unchanged. */
  async #copyRest(own: ReadonlySet<TensorProto>): Promise<void> {
    for (const tensor of liveParts(this.#graph).initializers) {
      if (!isExternal(tensor) || own.has(tensor)) continue;
      await copyWeight(tensor, this.#bytes, this.#target);
    }
  }

  #open(source: WeightSource): StoredMatrix {
    return source.kind === 'dense'
      ? new DenseMatrix(source.tensor, this.#bytes)
      : new NBitsMatrix(source.node, source, this.#bytes);
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

  readonly #pause = async (bytesRead: number): Promise<void> => {
    this.#advance(bytesRead);
    // Lets the thread handle signals and messages.
    await new Promise((resolve) => setImmediate(resolve));
  };

  #advance(bytesRead: number): void {
    this.#done += bytesRead;
    this.#onProgress(this.#done, this.#total);
  }
}

/** Whether output channels are rows of the stored matrix. */
function hasRowChannels(source: WeightSource): boolean {
  return source.kind === 'nbits' || source.turned;
}
