import { readGgufCheckpoint } from '../checkpoint/gguf-files.js';
import { readGgufModel } from '../gguf/architectures.js';
import { ROTATION_TENSORS } from '../gguf/rotation.js';
import { renamed } from '../gguf/tensor-names.js';
import { checkWeights } from './check-weights.js';
import { Config } from './config.js';
import type { Convolution, Decoder, DeltaNet, Mamba, Weight } from './decoder.js';
import { type DescribedModel, describe, type Origin } from './describe-model.js';

const ORIGIN: Origin = {
  exporter: 'none: built from the metadata of a GGUF file',
  variant: 'a GGUF file: built from its metadata and weights',
};

/**
 * Describes a model by the metadata of a GGUF file, and finds the weights in it.
 *
 * @param file the file, or the first of several parts
 * @throws OctavoError `model_unsupported` for an architecture that is not known;
 *   `model_file_missing`, `model_file_corrupt`
 */
export function describeGguf(file: string): DescribedModel {
  const found = readGgufCheckpoint(file);
  const { config, names, layers } = readGgufModel(found);
  const described = describe(new Config(file, config));
  const decoder = asStored(described);
  const tensors = new Map(found.tensors);
  for (const name of ROTATION_TENSORS) tensors.delete(name);
  const checkpoint = { ...found, tensors: renamed(tensors, names, layers) };
  checkWeights(decoder, checkpoint);
  const order = {
    sortsHeads: config['heads_sorted'] === true,
    joinsHeads: described.layers.some(({ mixers }) =>
      mixers.some((mixer) => {
        if (mixer.kind !== 'attention' || mixer.projections.kind !== 'packed') return false;
        return mixer.projections.order === 'heads';
      }),
    ),
  };
  return { decoder, checkpoint, origin: ORIGIN, order };
}

/**
 * A description with the forms that GGUF has of some weights: those of norms are whole, not their
 * distance from 1; matrices are stored as `[outputs, inputs]`; of packed queries, keys and values,
 * all queries come first; and the weights of states have shapes of their own.
 */
function asStored(decoder: Decoder): Decoder {
  return inForm(decoder) as Decoder;
}

function inForm(value: unknown, key = ''): unknown {
  if (key === 'offset') return 0;
  if (key === 'order') return 'parts';
  // (Layers that share a rotation must go on to share it.)
  const isPlain = typeof value === 'object' && value !== null && !ArrayBuffer.isView(value);
  if (!isPlain || key === 'rotary' || key === 'unread') return value;
  if (Array.isArray(value)) return value.map((item) => inForm(item));
  const entries = Object.entries(value).map(([name, inner]) => [name, inForm(inner, name)]);
  const made = Object.fromEntries(entries) as Record<string, unknown>;
  if (made['kind'] === 'mamba') return mambaAsStored(made as unknown as Mamba);
  if (made['kind'] === 'delta-net') return deltaNetAsStored(made as unknown as DeltaNet);
  if (made['kind'] === 'gated-convolution') {
    return { ...made, convolution: twoDimensional(made['convolution'] as Convolution) };
  }
  if (made['turned'] !== false) return made;
  const weight = made['weight'] as Weight;
  return { ...made, turned: true, weight: { ...weight, shape: weight.shape.toReversed() } };
}

/** Numbers of heads are a column, and those of norms have a row for each group. */
function mambaAsStored(layer: Mamba): Mamba {
  const { convolution, fading, skip, norm, numHeads } = layer;
  const column = (weight: Weight): Weight => ({ ...weight, shape: [numHeads, 1] });
  const rows = (weight: Weight, count: number): Weight => {
    const [size] = weight.shape;
    return { ...weight, shape: [count, size / count] };
  };
  return {
    ...layer,
    convolution: twoDimensional(convolution),
    fading: { ...fading, rate: { weight: column(fading.rate.weight), form: 'negative' } },
    skip: column(skip),
    norm: norm && {
      ...norm,
      norm: { ...norm.norm, weight: norm.norm.weight && rows(norm.norm.weight, norm.groups) },
    },
  };
}

function deltaNetAsStored(layer: DeltaNet): DeltaNet {
  const { convolution, fading } = layer;
  return {
    ...layer,
    convolution: twoDimensional(convolution),
    fading: { ...fading, rate: { ...fading.rate, form: 'negative' } },
  };
}

function twoDimensional(convolution: Convolution): Convolution {
  const { weight, channels, taps } = convolution;
  return { ...convolution, weight: { ...weight, shape: [channels, taps] } };
}
