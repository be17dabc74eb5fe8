import type { Graph } from '../graph.js';
import { type TensorProto, TensorProto_DataType as Type } from '../onnx/onnx_pb.js';
import { copyRest } from './copy-rest.js';
import type { Embedding, Matmul, QuantizePlan, WeightSource } from './find-matmuls.js';
import { openSource, sourceName } from './open-source.js';
import { type ConversionProgress, progressOf } from './progress.js';
import type { WeightBits } from './quantization.js';
import { quantizeMatmuls, type WeightTensors } from './quantize-matmuls.js';
import { guard, type QuantizedMatrix, quantizeColumns, quantizeRows } from './quantize-matrix.js';
import { type StoredMatrix, TensorBytes } from './stored-matrix.js';
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
  /** Of embeddings that are tied to the LM head. */
  #rows: WeightTensors | null = null;
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
    const matrices = plan.matmuls.map(({ source }) => openSource(this.#graph, source, this.#bytes));
    const total = plan.matmuls.reduce(
      (sum, { source }, i) => sum + readBytes(source, matrices[i]),
      0,
    );
    this.#progress = progressOf(this.#onProgress, total);
    const tensors = new Map<Matmul | Embedding, WeightTensors>();
    const head = plan.embeddings.length > 0 ? plan.matmuls.at(-1) : undefined;
    for (const [index, matmul] of plan.matmuls.entries()) {
      tensors.set(matmul, await this.#matmul(matmul, matrices[index], matmul === head));
    }
    for (const embedding of plan.embeddings) {
      if (this.#rows) tensors.set(embedding, this.#rows);
    }
    quantizeMatmuls(this.#graph, plan, tensors);
    const own = [...tensors.values()].flatMap((t) => [t.values.name, t.scales.name]);
    await copyRest(this.#graph, new Set(own), this.#target, this.#progress);
  }

  async #matmul(matmul: Matmul, matrix: StoredMatrix, isTied: boolean): Promise<WeightTensors> {
    const { source, inputs, outputs, node } = matmul;
    const weight = sourceName(source);
    const name = `${weight}/octavo.w8a8${hasRowChannels(source) ? '.turned' : ''}`;
    const known = this.#written.get(name);
    if (known && !isTied) {
      await this.#progress(readBytes(source, matrix));
      return known;
    }
    const quantized = await guard(this.#graph, node.name, () =>
      hasRowChannels(source)
        ? quantizeRows(matrix, this.#bits, true, this.#progress)
        : quantizeColumns(matrix, this.#bits, this.#progress),
    );
    const { values, scales } = quantized;
    const written = {
      values: await this.#add(name, [inputs, outputs], Type.INT8, [bytesOf(values)]),
      scales: await this.#add(`${name}.scales`, [outputs], Type.FLOAT, [bytesOf(scales)]),
    };
    this.#written.set(name, written);
    if (isTied) this.#rows = await this.#writeRows(weight, quantized, inputs);
    return written;
  }

  /** The LM head's numbers again, as the rows of a table that is looked up. */
  async #writeRows(
    weight: string,
    { values, scales }: QuantizedMatrix,
    width: number,
  ): Promise<WeightTensors> {
    const rows = scales.length;
    const name = `${weight}/octavo.rows`;
    const dims = [rows, width];
    return {
      values: await this.#add(name, dims, Type.INT8, turnedPieces(values, rows, width)),
      scales: await this.#add(`${name}.scales`, [rows, 1], Type.FLOAT, [bytesOf(scales)]),
    };
  }

  #add(
    name: string,
    dims: readonly number[],
    type: Type,
    pieces: Iterable<Uint8Array>,
  ): Promise<TensorProto> {
    return this.#target.add(name, dims.map(BigInt), type, pieces);
  }
}

/** Rows that are turned at a time. */
const TURNED_ROWS = 2048;

/** The transpose of `[width, rows]`, piece by piece. */
function* turnedPieces(values: Int8Array, rows: number, width: number): Generator<Uint8Array> {
  for (let first = 0; first < rows; first += TURNED_ROWS) {
    const count = Math.min(TURNED_ROWS, rows - first);
    const piece = new Int8Array(count * width);
    for (let c = 0; c < width; c++) {
      const from = c * rows + first;
      for (let r = 0; r < count; r++) piece[r * width + c] = values[from + r];
    }
    yield bytesOf(piece);
  }
}

function bytesOf(data: Int8Array | Float32Array): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/** Columns are read twice: for their largest magnitudes, and for their values. */
function readBytes(source: WeightSource, { bytes }: StoredMatrix): number {
  return hasRowChannels(source) ? bytes : 2 * bytes;
}

/** Whether output channels are rows of the stored matrix. */
function hasRowChannels(source: WeightSource): boolean {
  return source.kind !== 'dense' || source.turned;
}
