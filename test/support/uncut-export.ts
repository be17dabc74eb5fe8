import { InferenceSession, Tensor } from 'onnxruntime-node';
import { fromFloat16 } from '../../engine/float16.js';
import { EXACT_SUMS } from '../../engine/importer/quantize/exact-weight-bits.js';

const ints = (values: readonly number[]): Tensor =>
  new Tensor('int64', BigInt64Array.from(values.map(BigInt)), [1, values.length]);

/**
 * What an export's file says after a prompt, in ONNX Runtime with its own attention.
 *
 * @param saturates as the importer has found: exact sums are compared with exact ones
 * @param headSize where the file's caches leave it open
 */
export async function uncutLogits(
  file: string,
  prompt: readonly number[],
  saturates = false,
  headSize = 0,
): Promise<Float32Array> {
  const extra = { session: saturates ? EXACT_SUMS : {} };
  const session = await InferenceSession.create(file, { logSeverityLevel: 3, extra });
  const feeds: Record<string, Tensor> = {};
  for (const input of session.inputMetadata) {
    if (!input.isTensor) continue;
    const { name, shape, type } = input;
    if (name === 'input_ids') feeds[name] = ints(prompt);
    else if (name === 'position_ids') feeds[name] = ints(prompt.map((_, i) => i));
    else if (name === 'attention_mask') feeds[name] = ints(prompt.map(() => 1));
    else if (name === 'use_cache_branch') feeds[name] = new Tensor('bool', [false], [1]);
    else {
      const dims = [1, Number(shape[1]), 0, Number(shape[3]) || headSize];
      feeds[name] =
        type === 'float16'
          ? new Tensor('float16', new Uint16Array(0), dims)
          : new Tensor('float32', new Float32Array(0), dims);
    }
  }
  const { logits } = await session.run(feeds, ['logits']);
  await session.release();
  const vocab = logits.dims[2];
  const row = logits.data.slice(-vocab) as Float32Array | Uint16Array;
  return row instanceof Uint16Array ? Float32Array.from(row, fromFloat16) : Float32Array.from(row);
}
