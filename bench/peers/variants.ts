import { basename } from 'node:path';
import { ensureModel } from '../models/decoder.js';
import { ensureGguf } from '../models/gguf-decoder.js';
import type { ShapeName } from '../models/shapes.js';

export type Family = 'octavo' | 'node-llama-cpp' | 'transformers.js';

/** One way to run the model. */
export interface Variant {
  readonly name: string;
  readonly family: Family;
  /** In drivers/. */
  readonly driver: 'octavo' | 'llama' | 'transformers';
  /** Flags that Octavo must know; without them the variant cannot run. */
  readonly flags: readonly string[];
  /** Makes the files if need be. @returns the driver's options */
  readonly prepare: (shape: ShapeName) => object;
}

/** Pages of int16: node-llama-cpp keeps its cache in 16 bits (float16), too. */
const octavo = (name: string, precision: 'fp32' | 'q4', more: readonly string[] = []): Variant => {
  const flags = [...more, '--dtype', precision, '--kv-dtype', 'int16'];
  return {
    name: `octavo ${name}`,
    family: 'octavo',
    driver: 'octavo',
    flags,
    prepare: (shape) => ({ model: ensureModel(shape, { precision, keepsLogits: false }), flags }),
  };
};

const llama = (precision: 'Q4_0' | 'Q8_0'): Variant => ({
  name: `node-llama-cpp ${precision}`,
  family: 'node-llama-cpp',
  driver: 'llama',
  flags: [],
  prepare: (shape) => ({ file: ensureGguf(shape, precision) }),
});

const transformers = (precision: 'fp32' | 'q8' | 'q4'): Variant => ({
  name: `transformers.js ${precision}`,
  family: 'transformers.js',
  driver: 'transformers',
  flags: [],
  prepare: (shape) => ({
    model: ensureModel(shape, { precision, keepsLogits: true }),
    dtype: precision,
  }),
});

/** Octavo and node-llama-cpp on one file. */
export function ggufVariants(file: string): readonly Variant[] {
  const name = basename(file);
  const flags = ['--kv-dtype', 'int16'];
  return [
    {
      name: `octavo ${name}`,
      family: 'octavo',
      driver: 'octavo',
      flags,
      prepare: () => ({ model: file, flags }),
    },
    {
      name: `node-llama-cpp ${name}`,
      family: 'node-llama-cpp',
      driver: 'llama',
      flags: [],
      prepare: () => ({ file }),
    },
  ];
}

/** In the order in which they take turns. */
export const VARIANTS: readonly Variant[] = [
  octavo('w8a8', 'fp32', ['--quantize', 'w8a8']),
  llama('Q4_0'),
  transformers('q4'),
  octavo('q4', 'q4'),
  octavo('float32', 'fp32'),
  llama('Q8_0'),
  transformers('q8'),
  transformers('fp32'),
];
