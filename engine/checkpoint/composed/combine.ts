import { closeSync, openSync, readSync } from 'node:fs';
import type { Checkpoint, StoredTensor } from '../stored-tensor.js';
import { MatrixParts } from './matrix-parts.js';
import type { Packing } from './packing.js';
import { mxfp4Experts } from './stacked-experts.js';

const SUFFIX = '.weight';
/** Scales of activations and of the key and value cache: ours are measured. */
const UNREAD =
  /\.(input_scale|input_zero_point|[kvq]_scale|kv_scale|prob_scale|output_scale|activation_scale)$/;

/**
 * Makes of the tensors of each quantized matrix one, by the name that it would have unquantized.
 * Matrices that the quantizer has left as they were stay what they are.
 *
 * @param weights names and shapes of all weights of the model
 * @returns the checkpoint with these in the places of their parts
 * @throws OctavoError `model_file_corrupt`: which tensor is missing, or of which shape or type
 */
export function combine(
  checkpoint: Checkpoint,
  packing: Packing,
  weights: ReadonlyMap<string, { readonly shape: readonly number[] }>,
): Checkpoint {
  const tensors = new Map(checkpoint.tensors);
  for (const [name, { shape }] of weights) {
    if (shape.length === 3 && packing.method === 'mxfp4') {
      const weight = mxfp4Experts(checkpoint.file, tensors, name, shape);
      if (weight) tensors.set(name, weight);
    }
    if (shape.length !== 2 || !name.endsWith(SUFFIX)) continue;
    const base = name.slice(0, -SUFFIX.length);
    const weight = new MatrixParts(checkpoint.file, tensors, base, shape[0], shape[1]).read(
      packing,
    );
    if (!weight) continue;
    tensors.set(name, weight);
    // GPTQ's first tools gave each matrix a bias, of zeros where the model has none.
    const bias = tensors.get(`${base}.bias`);
    if (bias && !weights.has(bias.name) && isZero(bias)) tensors.delete(bias.name);
  }
  for (const name of tensors.keys()) if (UNREAD.test(name)) tensors.delete(name);
  return { ...checkpoint, tensors };
}

function isZero({ file, offset, bytes }: StoredTensor): boolean {
  const data = new Uint8Array(bytes);
  const descriptor = openSync(file, 'r');
  try {
    readSync(descriptor, data, 0, bytes, offset);
  } finally {
    closeSync(descriptor);
  }
  return data.every((byte) => byte === 0);
}
