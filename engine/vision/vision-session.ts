import { type InferenceSession, Tensor } from 'onnxruntime-node';
import { OctavoError, reasonOf } from '../errors.js';
import { fromFloat16 } from '../float16.js';
import { Graph } from '../importer/graph.js';
import { readModelProto } from '../importer/model-file.js';
import { deepstackNames, isDeepstack } from '../importer/parts/deepstack.js';
import { openWholeSession } from '../importer/whole-session.js';
import type { EncoderInput } from './processors/processor.js';

/** Inputs by transformers.js' names, which those of ONNX Runtime GenAI are, too. */
const PIXELS = 'pixel_values';
const MASK = 'pixel_attention_mask';
const GRID = 'image_grid_thw';

/** What an encoder has computed of a picture. */
export interface EncoderOutput {
  /** `[rows, width]` */
  readonly rows: Float32Array;
  readonly width: number;
  /** Features of further layers, in the order of their numbers; each as `rows`. */
  readonly deepstack: readonly Float32Array[];
}

/** A vision encoder in ONNX Runtime. */
export class VisionSession {
  readonly #session: InferenceSession;
  readonly #file: string;

  private constructor(session: InferenceSession, file: string) {
    this.#session = session;
    this.#file = file;
  }

  /** @throws OctavoError `model_file_missing`, `model_file_corrupt`, `model_unsupported` */
  static async open(file: string, threads: number): Promise<VisionSession> {
    const graph = new Graph(await readModelProto(file), file);
    const session = await openWholeSession(graph, threads);
    const alien = session.inputNames.find((name) => ![PIXELS, MASK, GRID].includes(name));
    if (alien === undefined && session.inputNames.includes(PIXELS)) {
      return new VisionSession(session, file);
    }
    const names = session.inputNames.join(', ');
    throw unsupported(file, `its inputs are ${names}; known are ${PIXELS}, ${MASK} and ${GRID}`);
  }

  /** @throws OctavoError `model_unsupported` when it cannot compute the picture */
  async run(input: EncoderInput): Promise<EncoderOutput> {
    const feeds: Record<string, Tensor> = {};
    for (const { name, type } of this.#inputs()) feeds[name] = feedOf(name, type, input);
    let results: InferenceSession.OnnxValueMapType;
    try {
      results = await this.#session.run(feeds);
    } catch (cause) {
      const shape = input.dims.join(' x ');
      const what = `cannot encode a picture of ${shape}: ${reasonOf(cause)}`;
      throw unsupported(this.#file, what, cause);
    }
    const { outputNames } = this.#session;
    const first = outputNames.find((name) => !isDeepstack(name)) ?? outputNames[0];
    const rows = this.#floats(results, first);
    const { dims } = results[first];
    const deepstack = deepstackNames(outputNames).map((name) => this.#floats(results, name));
    const other = deepstack.find(({ length }) => length !== rows.length);
    if (other) {
      const what = `${other.length} numbers are features of a further layer, ${rows.length} are rows`;
      throw unsupported(this.#file, what);
    }
    return { rows, width: dims[dims.length - 1], deepstack };
  }

  #floats(results: InferenceSession.OnnxValueMapType, name: string): Float32Array {
    const { data, dims, type } = results[name];
    const values = data instanceof Float32Array ? data : widened(data);
    if (dims.length >= 2 && values !== null) return values;
    throw unsupported(this.#file, `its output ${name} is ${type} [${dims.join(', ')}]`);
  }

  #inputs(): { readonly name: string; readonly type: string }[] {
    return this.#session.inputMetadata.map((one) => ({
      name: one.name,
      type: one.isTensor ? one.type : 'float32',
    }));
  }
}

function feedOf(name: string, type: string, { pixelValues, dims, grid }: EncoderInput): Tensor {
  if (name === PIXELS) return new Tensor('float32', pixelValues, dims);
  if (name === GRID) {
    return new Tensor('int64', BigInt64Array.from(grid ?? [1, 1, 1], BigInt), [1, 3]);
  }
  // Pieces of a picture have no padding.
  const sizes = [...dims.slice(0, -3), ...dims.slice(-2)];
  const count = sizes.reduce((a, b) => a * b, 1);
  return type === 'bool'
    ? new Tensor('bool', new Uint8Array(count).fill(1), sizes)
    : new Tensor('int64', new BigInt64Array(count).fill(1n), sizes);
}

/** Half floats, as typed arrays of their bits or of their values. */
function widened(data: unknown): Float32Array | null {
  if (data instanceof Uint16Array) return Float32Array.from(data, fromFloat16);
  if (ArrayBuffer.isView(data) && data.constructor.name === 'Float16Array') {
    return Float32Array.from(data as unknown as ArrayLike<number>);
  }
  return null;
}

function unsupported(file: string, what: string, cause?: unknown): OctavoError {
  return new OctavoError('model_unsupported', `${file}: ${what}`, { cause });
}
