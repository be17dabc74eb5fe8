import { type InferenceSession, Tensor } from 'onnxruntime-node';
import { buildEncoder, PACKED } from '../architectures/build/encoder-graph.js';
import { NEAR_SPANS, SPANS } from '../architectures/build/packed-attention.js';
import { describeEncoder } from '../architectures/encoders/describe-encoder.js';
import { OctavoError, reasonOf } from '../errors.js';
import { Graph } from '../importer/graph.js';
import { openWholeSession } from '../importer/whole-session.js';
import type { EncoderInput, EncoderRunner, OutputKind } from './encoder-runner.js';
import { nearSpans, wholeSpans } from './spans.js';

/** An encoder from safetensors in ONNX Runtime: texts lie one behind the other, without padding. */
export class PackedSession implements EncoderRunner {
  readonly output: OutputKind;
  readonly rewrites = [];
  readonly runsAlone = false;
  readonly isPacked = true;
  readonly #session: InferenceSession;
  /** Of the layers that have one; they have the same. */
  readonly #reach: number;

  private constructor(session: InferenceSession, output: OutputKind, reach: number) {
    this.#session = session;
    this.output = output;
    this.#reach = reach;
  }

  /**
   * @param entry the checkpoint's file in the directory
   * @param longest tokens of the longest text
   * @throws OctavoError `model_file_missing`, `model_file_corrupt`, `model_unsupported`
   */
  static async open(
    modelDir: string,
    entry: string,
    { threads, longest }: { readonly threads: number; readonly longest: number },
  ): Promise<PackedSession> {
    const { encoder, checkpoint } = await describeEncoder(modelDir, entry);
    const model = buildEncoder(encoder, checkpoint.tensors, longest);
    const session = await openWholeSession(new Graph(model, checkpoint.file), threads);
    const reach = Math.max(0, ...encoder.layers.map(({ attention }) => attention.reach ?? 0));
    return new PackedSession(session, encoder.classifier ? 'scores' : 'rows', reach);
  }

  async run(inputs: readonly EncoderInput[]): Promise<Float32Array[]> {
    const lengths = inputs.map(({ tokenIds }) => tokenIds.length);
    const total = lengths.reduce((sum, length) => sum + length, 0);
    const starts = lengths.map((_, i) => lengths.slice(0, i).reduce((sum, one) => sum + one, 0));
    const row = [1, total];
    const feeds = {
      [PACKED.inputIds]: int64(
        inputs.flatMap(({ tokenIds }) => tokenIds),
        row,
      ),
      [PACKED.positionIds]: int64(
        lengths.flatMap((length) => [...Array(length).keys()]),
        row,
      ),
      [PACKED.types]: int64(inputs.flatMap(typesOf), row),
      [PACKED.starts]: int64(starts, [starts.length]),
      [SPANS]: spanTensor(wholeSpans(lengths)),
      [NEAR_SPANS]: spanTensor(nearSpans(lengths, this.#reach)),
    };
    const wanted = new Set(this.#session.inputNames);
    const taken = Object.fromEntries(Object.entries(feeds).filter(([name]) => wanted.has(name)));
    const [name] = this.#session.outputNames;
    let results: InferenceSession.OnnxValueMapType;
    try {
      results = await this.#session.run(taken, [name]);
    } catch (cause) {
      const what = `${inputs.length} texts of ${total} tokens cannot be computed`;
      throw new OctavoError('engine_failed', `${what}: ${reasonOf(cause)}`, { cause });
    }
    const { data } = results[name];
    if (!(data instanceof Float32Array)) throw new Error('the graph gives no float32');
    if (this.output === 'scores') {
      const labels = data.length / inputs.length;
      return inputs.map((_, i) => data.slice(i * labels, (i + 1) * labels));
    }
    const width = data.length / total;
    return lengths.map((length, i) => data.slice(starts[i] * width, (starts[i] + length) * width));
  }

  release(): Promise<void> {
    return this.#session.release();
  }
}

function typesOf({ tokenIds, secondFrom = tokenIds.length }: EncoderInput): number[] {
  return tokenIds.map((_, index) => (index < secondFrom ? 0 : 1));
}

const spanTensor = (spans: readonly (readonly number[])[]): Tensor =>
  int64(spans.flat(), [spans.length, 4]);

const int64 = (values: readonly number[], dims: readonly number[]): Tensor =>
  new Tensor('int64', BigInt64Array.from(values, BigInt), dims);
