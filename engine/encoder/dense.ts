import { join } from 'node:path';
import { Type } from 'typebox';
import { readStoredFloats } from '../checkpoint/read-floats.js';
import { readSafetensors } from '../checkpoint/safetensors.js';
import { clip } from '../clip.js';
import { OctavoError } from '../errors.js';
import { readModelJson } from '../text/model-files.js';

const DenseSchema = Type.Object({
  in_features: Type.Integer({ minimum: 1 }),
  out_features: Type.Integer({ minimum: 1 }),
  bias: Type.Optional(Type.Boolean()),
  activation_function: Type.Optional(Type.String()),
  module_input_name: Type.Optional(Type.String()),
  module_output_name: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  use_residual: Type.Optional(Type.Boolean()),
});

/** By the last part of their names, which are paths of Python's classes. */
const ACTIVATIONS: Readonly<Record<string, (value: number) => number>> = {
  Identity: (value) => value,
  Tanh: Math.tanh,
  ReLU: (value) => Math.max(0, value),
  Sigmoid: (value) => 1 / (1 + Math.exp(-value)),
};

/** A linear layer behind the pooling. */
export interface Dense {
  readonly inFeatures: number;
  readonly outFeatures: number;
  /** @returns memory of its own */
  apply(vector: Float32Array): Float32Array;
}

/**
 * Reads sentence-transformers' module Dense: its configuration, and its weights in safetensors.
 *
 * @param path of the module in the model's directory
 * @throws OctavoError `model_file_missing`, `model_file_corrupt`, `model_unsupported`
 */
export async function readDense(modelDir: string, path: string): Promise<Dense> {
  const dir = join(modelDir, path);
  const config = await readModelJson(dir, 'config.json', DenseSchema, { required: true });
  if (config === null) throw new Error('a required file is null');
  const { in_features: inFeatures, out_features: outFeatures, bias: hasBias = true } = config;
  const { activation_function: activationName = 'torch.nn.modules.activation.Tanh' } = config;
  const activation = ACTIVATIONS[activationName.split('.').at(-1) ?? ''];
  const { module_input_name: from = 'sentence_embedding', module_output_name: to } = config;
  if (
    !activation ||
    config.use_residual ||
    from !== 'sentence_embedding' ||
    (to ?? from) !== from
  ) {
    const known = Object.keys(ACTIVATIONS).join(', ');
    const what = `is a Dense with ${clip(activationName)}, from ${clip(from)}`;
    throw new OctavoError(
      'model_unsupported',
      `${dir}/config.json: ${what}; supported are ${known}, from sentence_embedding, without a residual`,
    );
  }
  const file = join(dir, 'model.safetensors');
  const tensors = new Map(readSafetensors(file).map((tensor) => [tensor.name, tensor]));
  const read = async (name: string, size: number): Promise<Float32Array> => {
    const tensor = tensors.get(name);
    const values = tensor && (await readStoredFloats(tensor));
    if (values?.length === size) return values;
    throw new OctavoError('model_file_corrupt', `${file}: must have ${name} with ${size} numbers`);
  };
  const weight = await read('linear.weight', inFeatures * outFeatures);
  const bias = hasBias ? await read('linear.bias', outFeatures) : new Float32Array(outFeatures);
  return {
    inFeatures,
    outFeatures,
    apply: (vector) =>
      bias.map((start, row) => {
        let sum = start;
        const first = row * inFeatures;
        for (let i = 0; i < inFeatures; i++) sum += weight[first + i] * vector[i];
        return activation(sum);
      }),
  };
}
