import { toBinary } from '@bufbuild/protobuf';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { LOGITS } from '../../engine/importer/imported-model.js';
import { findModelFile, readModelProto } from '../../engine/importer/model-file.js';
import { makeValueInfo } from '../../engine/importer/onnx/nodes.js';
import { ModelProtoSchema, TensorProto_DataType } from '../../engine/importer/onnx/onnx_pb.js';

/**
 * A model's file as it is, in ONNX Runtime with its own attention: the oracle for what the engine
 * makes of it.
 */
export class UncutModel {
  readonly #session: InferenceSession;
  readonly #hidden: string;
  readonly #pastShape: readonly number[];

  private constructor(session: InferenceSession, hidden: string, pastShape: readonly number[]) {
    this.#session = session;
    this.#hidden = hidden;
    this.#pastShape = pastShape;
  }

  static async open(modelDir: string, kvHeads: number, headSize: number): Promise<UncutModel> {
    const model = await readModelProto(await findModelFile(modelDir, 'onnx/model.onnx'));
    const head = model.graph?.node.find(({ output }) => output.includes(LOGITS));
    if (!model.graph || !head) throw new Error('no node makes logits');
    model.graph.output.push(makeValueInfo(head.input[0], TensorProto_DataType.FLOAT));
    const session = await InferenceSession.create(toBinary(ModelProtoSchema, model));
    return new UncutModel(session, head.input[0], [1, kvHeads, 0, headSize]);
  }

  /** `[T, vocabSize]` and `[T, hiddenSize]`, a row for each token. */
  async run(
    tokens: readonly number[],
  ): Promise<{ logits: Float32Array[]; hidden: Float32Array[] }> {
    const ints = (values: readonly number[]): Tensor =>
      new Tensor('int64', BigInt64Array.from(values, BigInt), [1, values.length]);
    const feeds: Record<string, Tensor> = {};
    for (const name of this.#session.inputNames) {
      if (name === 'input_ids') feeds[name] = ints(tokens);
      else if (name === 'position_ids') feeds[name] = ints([...tokens.keys()]);
      else if (name === 'attention_mask') feeds[name] = ints(tokens.map(() => 1));
      else feeds[name] = new Tensor('float32', new Float32Array(0), this.#pastShape);
    }
    const results = await this.#session.run(feeds, [LOGITS, this.#hidden]);
    const rows = ({ data }: Tensor): Float32Array[] => {
      const width = data.length / tokens.length;
      return tokens.map((_, i) => (data as Float32Array).slice(i * width, (i + 1) * width));
    };
    return { logits: rows(results[LOGITS]), hidden: rows(results[this.#hidden]) };
  }
}

/** In float64. */
export function logSoftmax(logits: Float32Array): number[] {
  const largest = Math.max(...logits);
  const total = logits.reduce((sum, x) => sum + Math.exp(x - largest), 0);
  return Array.from(logits, (x) => x - largest - Math.log(total));
}
