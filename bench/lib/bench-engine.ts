import { parseArgs } from 'node:util';
import { KV_DTYPES, type KvDtype } from '../../engine/attention/paged-attention.js';
import { modelCacheDir } from '../../engine/environment/model-cache-dir.js';
import type { EngineOptions } from '../../engine/protocol/options.js';
import { type EngineRequest, PLAIN_REQUEST } from '../../engine/protocol/request.js';
import { GREEDY } from '../../engine/sampling/sampling-params.js';
import { type LoadedEngine, loadEngine } from '../../engine/thread/load-engine.js';
import type { SequenceId, TokenId } from '../../scheduler/ids.js';
import { ensureModel } from '../models/decoder.js';
import { SHAPES, type ShapeName } from '../models/shapes.js';

// An engine core without its thread and the server around it, over random weights, as the command
// line names it:
//
//     [shape] --dtype fp32|q4 --quantize none|w8a8 --kv-dtype f32|bf16|int16|int8

export const THREADS = 2;
export const STEP_TOKENS = 512;

export interface BenchModel {
  readonly shape: ShapeName;
  readonly dtype: 'fp32' | 'q4';
  readonly quantize: 'none' | 'w8a8';
  readonly kvDtype: KvDtype;
  readonly directory: string;
  /** For the name of the results: what differs from the plain model. */
  readonly variant: readonly string[];
  /** Description for the report. */
  readonly description: string;
}

/** Creates the model if necessary. @throws Error for an unknown argument; lists those allowed */
export function benchModelFromArgv(): BenchModel {
  const { values: flags, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      dtype: { type: 'string', default: 'fp32' },
      quantize: { type: 'string', default: 'none' },
      'kv-dtype': { type: 'string', default: 'f32' },
    },
  });
  const shapes = Object.keys(SHAPES) as ShapeName[];
  const shape = oneOf('shape', positionals[0] ?? 'qwen2.5-0.5b', shapes);
  const dtype = oneOf('--dtype', flags.dtype, ['fp32', 'q4']);
  const quantize = oneOf('--quantize', flags.quantize, ['none', 'w8a8']);
  const kvDtype = oneOf('--kv-dtype', flags['kv-dtype'], KV_DTYPES);
  const weights = quantize === 'none' ? { fp32: 'float32', q4: '4-bit' }[dtype] : quantize;
  return {
    shape,
    dtype,
    quantize,
    kvDtype,
    directory: ensureModel(shape, { precision: dtype, keepsLogits: false }),
    variant: [dtype, quantize, kvDtype].filter((part) => !['fp32', 'none', 'f32'].includes(part)),
    description: `random weights in the shape of ${shape}, ${weights} weights, ${kvDtype} pages, ${THREADS} threads`,
  };
}

function oneOf<T extends string>(what: string, value: string, allowed: readonly T[]): T {
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
    modelDir: model.directory,
    dtype: model.dtype,
    maxNumSeqs: 64,
    maxNumBatchedTokens: STEP_TOKENS,
    blockSize: 16,
    kvCacheBytes: 2 * 2 ** 30,
    kvDtype: model.kvDtype,
    maxModelLength: 4096,
    threads: THREADS,
    enablePrefixCaching: true,
    evictionPolicy: 'lru',
    schedulingPolicy: 'fcfs',
    longPrefillThreshold: 0,
    kvMetricsSampleRate: 0,
    ...(model.quantize === 'w8a8' && { quantize: { kind: 'w8a8', nbits: false, cacheDir } }),
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

/** The command that a benchmark was started with. */
export function commandLine(script: string): string {
  const words = process.argv.slice(2);
  return words.length > 0 ? `npm run ${script} -- ${words.join(' ')}` : `npm run ${script}`;
}
