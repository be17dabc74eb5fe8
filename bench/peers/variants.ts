import { basename } from 'node:path';
import type { CreateEngineOptions } from '../../engine/library/create-engine.js';
import { ensureModel } from '../models/decoder.js';
import { ensureGguf, type GgufPrecision } from '../models/gguf-decoder.js';
import { ensureShape } from '../models/random-checkpoint.js';
import type { ShapeName } from '../models/shapes.js';
import { ensureGenai, ensureOpenVino, type WeightFormat } from './exports.js';
import { llamaServer, octavoServer, vllmServer } from './peer-servers.js';
import type { DriverName } from './protocol.js';
import type { EnvironmentName } from './python-env.js';

/** Whose figures are compared: the best variant of each counts. */
export const FAMILIES = [
  'Octavo',
  'Octavo over HTTP',
  'Octavo, rounded again',
  'node-llama-cpp',
  'transformers.js',
  'OpenVINO',
  'OpenVINO, tuned',
  'ONNX Runtime GenAI',
  'vLLM',
  "llama.cpp's server",
] as const;
export type Family = (typeof FAMILIES)[number];

/** Those that are asked over HTTP, with the client on the same cores. */
export const OVER_HTTP: ReadonlySet<Family> = new Set([
  'Octavo over HTTP',
  'vLLM',
  "llama.cpp's server",
]);

/** One way to run the model. */
export interface Variant {
  readonly name: string;
  readonly family: Family;
  readonly driver: DriverName;
  /** Python packages without which it cannot run. */
  readonly environment?: EnvironmentName;
  /** Flags that Octavo's server must know; without them the variant cannot run. */
  readonly flags: readonly string[];
  /** Whether a later load finds what an earlier one has computed of its prompts. */
  readonly keepsPrefixes: boolean;
  /** Of more exact weights, which are never the quickest: parts of the whole go without it. */
  readonly isReference?: boolean;
  /** Clients that it can serve at a time within minutes; absent: any number. */
  readonly mostClients?: number;
  /**
   * Makes the files if need be.
   *
   * @param root of the checkout whose compiled Octavo runs
   * @returns the driver's options
   */
  readonly prepare: (shape: ShapeName, root: string) => object | Promise<object>;
}

/** Settings of the library, which are also flags. */
type Settings = Readonly<Pick<CreateEngineOptions, 'quantize' | 'kvDtype'>>;

const flagsOf = (settings: Settings): string[] =>
  Object.entries(settings).flatMap(([name, value]) => [
    `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`,
    String(value),
  ]);

const overHttp = (
  name: string,
  settings: Settings,
  model: (shape: ShapeName) => string,
): Variant => ({
  name: `octavo ${name}, HTTP`,
  family: 'Octavo over HTTP',
  driver: 'server',
  keepsPrefixes: true,
  flags: flagsOf(settings),
  prepare: (shape, root) => ({
    about: `octavo ${name}`,
    server: octavoServer(root, model(shape), flagsOf(settings)),
  }),
});

const inProcess = (
  name: string,
  settings: Settings,
  model: (shape: ShapeName) => string,
): Variant => ({
  name: `octavo ${name}`,
  family: 'Octavo',
  driver: 'library',
  keepsPrefixes: true,
  flags: [],
  prepare: (shape, root) => ({ root, model: model(shape), settings }),
});

/** Pages of int16: node-llama-cpp keeps its cache in 16 bits (float16), too. */
const pages = { kvDtype: 'int16' } as const;
const checkpoint = (shape: ShapeName): string => ensureShape(shape, 'BF16');

const llama = (precision: GgufPrecision): Variant => ({
  name: `node-llama-cpp ${precision}`,
  family: 'node-llama-cpp',
  driver: 'llama',
  keepsPrefixes: false,
  flags: [],
  prepare: (shape) => ({ file: ensureGguf(shape, precision) }),
});

const transformers = (precision: 'fp32' | 'q8' | 'q4'): Variant => ({
  name: `transformers.js ${precision}`,
  family: 'transformers.js',
  driver: 'transformers',
  keepsPrefixes: false,
  flags: [],
  prepare: (shape) => ({
    model: ensureModel(shape, { precision, keepsLogits: true }),
    dtype: precision,
  }),
});

/** @param properties of the plugin, besides two threads */
const openVino = (
  format: WeightFormat,
  properties: Readonly<Record<string, number>> = {},
): Variant => ({
  name: ['openvino', format, ...Object.values(properties)].join(' '),
  family: Object.keys(properties).length === 0 ? 'OpenVINO' : 'OpenVINO, tuned',
  driver: 'openvino',
  environment: 'exporters',
  keepsPrefixes: true,
  flags: [],
  prepare: (shape) => ({ model: ensureOpenVino(shape, format), properties }),
});

const genai: Variant = {
  name: 'onnxruntime-genai int4',
  family: 'ONNX Runtime GenAI',
  driver: 'genai',
  environment: 'exporters',
  keepsPrefixes: false,
  mostClients: 8,
  flags: [],
  prepare: (shape) => ({ model: ensureGenai(shape, 'int4') }),
};

const vllm: Variant = {
  name: 'vllm bf16, HTTP',
  family: 'vLLM',
  driver: 'server',
  environment: 'vllm',
  keepsPrefixes: true,
  flags: [],
  prepare: async (shape) => ({ about: 'vllm', server: await vllmServer(shape) }),
};

const llamaOverHttp = (precision: GgufPrecision): Variant => ({
  name: `llama-server ${precision}, HTTP`,
  family: "llama.cpp's server",
  driver: 'server',
  environment: 'llama-server',
  keepsPrefixes: true,
  flags: [],
  prepare: (shape) => ({ about: 'llama-server', server: llamaServer(shape, precision) }),
});

/** Octavo and node-llama-cpp on one file, and Octavo with its weights rounded to int8. */
export function ggufVariants(file: string): readonly Variant[] {
  const name = basename(file);
  return [
    inProcess(name, pages, () => file),
    overHttp(name, pages, () => file),
    // What a server of many clients may take instead. It is compared with no peer, since its
    // weights are other numbers than the file's.
    {
      ...inProcess(`${name} as w8a8`, { quantize: 'w8a8', ...pages }, () => file),
      family: 'Octavo, rounded again',
    },
    {
      name: `node-llama-cpp ${name}`,
      family: 'node-llama-cpp',
      driver: 'llama',
      keepsPrefixes: false,
      flags: [],
      prepare: () => ({ file }),
    },
  ];
}

/** In the order in which they take turns. */
export const VARIANTS: readonly Variant[] = [
  inProcess('w8a8', { quantize: 'w8a8', ...pages }, checkpoint),
  openVino('int8'),
  inProcess('q4', { quantize: 'q4', ...pages }, checkpoint),
  genai,
  overHttp('w8a8', { quantize: 'w8a8', ...pages }, checkpoint),
  vllm,
  openVino('int8', { DYNAMIC_QUANTIZATION_GROUP_SIZE: 128 }),
  llama('Q4_0'),
  transformers('q4'),
  overHttp('q4', { quantize: 'q4', ...pages }, checkpoint),
  llamaOverHttp('Q4_0'),
  openVino('int4'),
  { ...inProcess('float32', pages, checkpoint), isReference: true },
  { ...llama('Q8_0'), isReference: true },
  transformers('q8'),
  { ...transformers('fp32'), isReference: true },
];
