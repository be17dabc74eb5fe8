import { clipName } from '../../clip.js';
import { OctavoError } from '../../errors.js';
import type { StoredTensor } from '../stored-tensor.js';
import { MXFP4_GROUP } from './mxfp4.js';

/**
 * Makes one weight `[experts, outputs, inputs]` of the two tensors that MXFP4 stores it as, which
 * are taken out: numbers `[experts, outputs, groups, 16]` and scales `[experts, outputs, groups]`.
 *
 * @returns null for a weight that is not quantized, or missing
 * @throws OctavoError `model_file_corrupt`: which tensor is missing, or of which shape or type
 */
export function mxfp4Experts(
  file: string,
  tensors: Map<string, StoredTensor>,
  name: string,
  shape: readonly number[],
): StoredTensor | null {
  if (!tensors.has(`${name}_blocks`)) return null;
  const [experts, outputs, inputs] = shape;
  const groups = Math.ceil(inputs / MXFP4_GROUP);
  const take = (suffix: string, wanted: readonly number[]): StoredTensor => {
    const key = `${name}_${suffix}`;
    const tensor = tensors.get(key);
    const needs = `the weight ${clipName(name)} [${shape.join(', ')}] in MXFP4 needs`;
    const fail = (what: string): OctavoError =>
      new OctavoError('model_file_corrupt', `${file}: ${what}`);
    if (!tensor) throw fail(`lacks ${clipName(key)}, which ${needs}`);
    if (tensor.type !== 'U8' || tensor.shape.join() !== wanted.join()) {
      throw fail(
        `${clipName(key)} is ${clipName(tensor.type)} [${tensor.shape.join(', ')}]; ${needs} U8 [${wanted.join(', ')}]`,
      );
    }
    tensors.delete(key);
    return tensor;
  };
  const values = take('blocks', [experts, outputs, groups, MXFP4_GROUP / 2]);
  const scales = take('scales', [experts, outputs, groups]);
  const composed = {
    format: 'mxfp4',
    bits: 8,
    added: 0,
    block: [1, MXFP4_GROUP],
    parts: { values, scales },
  } as const;
  return { ...values, name, type: 'mxfp4', shape, composed };
}
