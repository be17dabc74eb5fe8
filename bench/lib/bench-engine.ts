import { parseArgs } from 'node:util';
import { KV_DTYPES, type KvDtype } from '../../engine/attention/paged-attention.js';
import { modelCacheDir } from '../../engine/environment/model-cache-dir.js';
import {
  ACTIVATIONS,
  type Activations,
  QUANTIZATIONS,
} from '../../engine/importer/quantize/quantization.js';
import type { EngineOptions } from '../../engine/protocol/options.js';
import { type EngineRequest, PLAIN_REQUEST } from '../../engine/protocol/request.js';
import { GREEDY } from '../../engine/sampling/sampling-params.js';
import { type LoadedEngine, loadEngine } from '../../engine/thread/load-engine.js';
import type { SequenceId, TokenId } from '../../scheduler/ids.js';
import { ensureModel } from '../models/decoder.js';
import { ensureGguf } from '../models/gguf-decoder.js';
import { ensureShape } from '../models/random-checkpoint.js';
import { SHAPES, type ShapeName } from '../models/shapes.js';

// An engine core without its thread and the server around it, over random weights, as the command
// line names it:
//
//     [shape] --form built|export|gguf --dtype fp32|q4 --quantize none|w8a8|q8|q4
//         --activations int8|exact --kv-dtype f32|bf16|int16|int8
//
// `bench:speculation` takes the shape of a draft model behind the first.
//
// `built` is a checkpoint, of which the engine builds its own graph; `export` an ONNX file in the
// form of the model builder, whose matmuls may have 4 bits already (`--dtype q4`); `gguf` a built
// graph, too, of a GGUF file in Q4_0.

export const THREADS = 2;
export const STEP_TOKENS = 512;
export const BLOCK_SIZE = 16;

/** What engines of benchmarks have in common. */
export const BENCH_OPTIONS = {
  maxNumBatchedTokens: STEP_TOKENS,
  blockSize: BLOCK_SIZE,
  threads: THREADS,
  evictionPolicy: 'lru',
  schedulingPolicy: 'fcfs',
  longPrefillThreshold: 0,
  kvMetricsSampleRate: 0,
} as const satisfies Partial<EngineOptions>;

/** Those that are compared with each other, of the same weights. */
export const FORMS = ['built', 'export'] as const;
export type ComparedForm = (typeof FORMS)[number];
const ALL_FORMS = [...FORMS, 'gguf'] as const;
export type ModelForm = (typeof ALL_FORMS)[number];

/** `auto` would be another one on each machine. */
export const BENCH_QUANTIZATIONS = QUANTIZATIONS.filter((kind) => kind !== 'auto');
export type BenchQuantization = (typeof BENCH_QUANTIZATIONS)[number];

export interface BenchModel {
  readonly shape: ShapeName;
  readonly form: ModelForm;
  readonly dtype: 'fp32' | 'q4';
  readonly quantize: BenchQuantization;
  readonly activations: Activations;
  readonly kvDtype: KvDtype;
  readonly directory: string;
  /** For the name of the results: what differs from the plain model. */
  readonly variant: readonly string[];
  /** Description for the report. */
  readonly description: string;
}

const SHAPE_NAMES = Object.keys(SHAPES) as ShapeName[];

const parsed = () =>
  parseArgs({
    allowPositionals: true,
    options: {
      form: { type: 'string', default: 'built' },
      dtype: { type: 'string', default: 'fp32' },
      quantize: { type: 'string', default: 'none' },
      activations: { type: 'string', default: 'int8' },
      'kv-dtype': { type: 'string', default: 'f32' },
    },
  });

/** Creates the model if necessary. @throws Error for an unknown argument; lists those allowed */
export function benchModelFromArgv(): BenchModel {
  const { values: flags, positionals } = parsed();
  const shape = oneOf('shape', positionals[0] ?? 'qwen2.5-0.5b', SHAPE_NAMES);
  const form = oneOf('--form', flags.form, ALL_FORMS);
  const dtype = oneOf('--dtype', flags.dtype, form === 'export' ? ['fp32', 'q4'] : ['fp32']);
  const quantize = oneOf('--quantize', flags.quantize, BENCH_QUANTIZATIONS);
  const activations = oneOf('--activations', flags.activations, ACTIVATIONS);
  const kvDtype = oneOf('--kv-dtype', flags['kv-dtype'], KV_DTYPES);
  return benchModel({ shape, form, dtype, quantize, activations, kvDtype });
}

/** The second shape of the command line; null: it names none. @throws Error as the first does */
export function secondShapeFromArgv(): ShapeName | null {
  const [, shape] = parsed().positionals;
  return shape === undefined ? null : oneOf('draft shape', shape, SHAPE_NAMES);
}

/** Creates the model if necessary. */
export function benchModel(
  chosen: Pick<BenchModel, 'shape' | 'form' | 'dtype' | 'quantize' | 'activations' | 'kvDtype'>,
): BenchModel {
  const { shape, form, dtype, quantize, activations, kvDtype } = chosen;
  const own = form === 'gguf' ? 'Q4_0' : { fp32: 'float32', q4: '4-bit' }[dtype];
  const rounding = activations === 'exact' ? ' (exact activations)' : '';
  const weights = quantize === 'none' ? own : `${quantize}${rounding}`;
  const graph = {
    built: 'a built graph',
    export: 'a graph as exporters write it',
    gguf: 'a built graph of a GGUF file',
  }[form];
  return {
    ...chosen,
    directory: directoryOf(shape, form, dtype),
    variant: [
      ...[form, dtype, quantize].filter((part) => !['built', 'fp32', 'none'].includes(part)),
      ...(activations === 'exact' ? ['exact'] : []),
      ...(kvDtype === 'f32' ? [] : [kvDtype]),
    ],
    description: `random weights in the shape of ${shape}, ${graph}, ${weights} weights, ${kvDtype} pages, ${THREADS} threads`,
  };
}

/** Where the model is; of a GGUF file, its path. */
function directoryOf(shape: ShapeName, form: ModelForm, dtype: BenchModel['dtype']): string {
  switch (form) {
    case 'built':
      return ensureShape(shape);
    case 'export':
      return ensureModel(shape, { precision: dtype, keepsLogits: false });
    case 'gguf':
      return ensureGguf(shape, 'Q4_0');
  }
}

export function oneOf<T extends string>(what: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find((one) => one === value);
  if (found === undefined)
    throw new Error(`${what} ${value}: must be one of ${allowed.join(', ')}`);
  return found;
}

/** @param more what differs from the options of all benchmarks */
export function loadBenchEngine(
  model: BenchModel,
  more: Partial<EngineOptions> = {},
): Promise<LoadedEngine> {
  const cacheDir = modelCacheDir(undefined, process.env);
  return loadEngine({
    ...BENCH_OPTIONS,
    modelDir: model.directory,
    // A checkpoint has one precision, which `quantize` changes.
    ...(model.form === 'export' && { dtype: model.dtype }),
    maxNumSeqs: 64,
    kvCacheBytes: 2 * 2 ** 30,
    kvDtype: model.kvDtype,
    activations: model.activations,
    maxModelLength: 4096,
    enablePrefixCaching: true,
    ...(model.quantize !== 'none' && {
      quantize: { kind: model.quantize, nbits: false, cacheDir },
    }),
    ...more,
  });
}

let nextId = 0;

/** Greedy; prompts of different seeds have no block in common. */
export function benchRequest(
  { shape }: BenchModel,
  length: number,
  maxTokens: number,
  seed = nextId,
): EngineRequest {
  const { vocab } = SHAPES[shape];
  const promptTokenIds = Array.from(
    { length },
    (_, i) => ((i * 7919 + seed * 104_729) % vocab) as TokenId,
  );
  return {
    ids: [`r${nextId++}` as SequenceId],
    promptTokenIds,
    maxTokens,
    stopTokenIds: [],
    sampling: GREEDY,
    ...PLAIN_REQUEST,
  };
}
