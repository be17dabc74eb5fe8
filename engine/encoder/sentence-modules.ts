import { join } from 'node:path';
import { type Static, Type } from 'typebox';
import { OctavoError } from '../errors.js';
import { truncateAndNormalize } from '../generation/normalize.js';
import { POOLING_MODES, type PoolingMode } from '../protocol/encoding.js';
import { readModelJson } from '../text/model-files.js';
import { readDense } from './dense.js';
import { pool } from './pooling.js';

const ModulesSchema = Type.Array(Type.Object({ path: Type.String(), type: Type.String() }));

const PoolingSchema = Type.Object({
  pooling_mode: Type.Optional(
    Type.Union([Type.Enum([...POOLING_MODES]), Type.Array(Type.Enum([...POOLING_MODES]))]),
  ),
  include_prompt: Type.Optional(Type.Boolean()),
});

/** Flags of older files, in the order in which their vectors are joined. */
const FLAGS: readonly (readonly [string, PoolingMode])[] = [
  ['pooling_mode_cls_token', 'cls'],
  ['pooling_mode_max_tokens', 'max'],
  ['pooling_mode_mean_tokens', 'mean'],
  ['pooling_mode_mean_sqrt_len_tokens', 'mean_sqrt_len_tokens'],
  ['pooling_mode_weightedmean_tokens', 'weightedmean'],
  ['pooling_mode_lasttoken', 'lasttoken'],
];

/** What makes one vector of a text's rows. */
export interface SentenceModules {
  /** Width of the vector, for rows of a width. @throws OctavoError `model_file_corrupt` */
  readonly outputWidth: (rowWidth: number) => number;
  /** @param rows `[length, width]` @returns memory of its own */
  readonly apply: (rows: Float32Array, width: number) => Float32Array;
  /** For reports. */
  readonly summary: string;
}

/** Pooling alone, as `--pooling` or a default has it. */
export function poolingAlone(mode: PoolingMode): SentenceModules {
  return {
    outputWidth: (rowWidth) => rowWidth,
    apply: (rows, width) => pool(rows, width, [mode]),
    summary: mode,
  };
}

/**
 * Reads sentence-transformers' modules.json and what it names: pooling, then linear layers and
 * normalization.
 *
 * @returns null when there is no modules.json
 * @throws OctavoError `model_unsupported` for other modules; `model_file_missing`,
 *   `model_file_corrupt`
 */
export async function readSentenceModules(modelDir: string): Promise<SentenceModules | null> {
  const list = await readModelJson(modelDir, 'modules.json', ModulesSchema, { required: false });
  if (list === null) return null;
  const [first, second, ...rest] = list.map(({ path, type }) => ({ path, kind: kindOf(type) }));
  const unsupported = (what: string): OctavoError => {
    const known = 'Transformer, Pooling, and then Dense and Normalize';
    return new OctavoError(
      'model_unsupported',
      `${join(modelDir, 'modules.json')}: ${what}; supported are ${known}`,
    );
  };
  if (first?.kind !== 'Transformer') throw unsupported(`begins with ${first?.kind ?? 'nothing'}`);
  if (second?.kind !== 'Pooling') throw unsupported('has no Pooling behind the Transformer');
  const modes = await readPooling(modelDir, second.path);
  const steps: ((vector: Float32Array) => Float32Array)[] = [];
  const names: string[] = [modes.join(' and ')];
  const widths: { readonly wanted: number; readonly path: string }[] = [];
  let last: number | null = null;
  for (const { kind, path } of rest) {
    if (kind === 'Normalize') {
      steps.push((vector) => truncateAndNormalize(vector, vector.length));
      names.push('normalized');
    } else if (kind === 'Dense') {
      const dense = await readDense(modelDir, path);
      if (last !== null && last !== dense.inFeatures) throw misfit(modelDir, path, last);
      if (last === null) widths.push({ wanted: dense.inFeatures, path });
      last = dense.outFeatures;
      steps.push((vector) => dense.apply(vector));
      names.push(`Dense ${dense.inFeatures} x ${dense.outFeatures}`);
    } else if (kind !== 'Dropout') {
      throw unsupported(`has ${kind}`);
    }
  }
  return {
    outputWidth: (rowWidth) => {
      const pooledWidth = modes.length * rowWidth;
      for (const { wanted, path } of widths) {
        if (wanted !== pooledWidth) throw misfit(modelDir, path, pooledWidth);
      }
      return last ?? pooledWidth;
    },
    apply: (rows, width) => {
      return steps.reduce((vector, step) => step(vector), pool(rows, width, modes));
    },
    summary: names.join(', '),
  };
}

/** Paths of Python's classes, which have moved between versions. */
const kindOf = (type: string): string => type.split('.').at(-1) ?? '';

async function readPooling(modelDir: string, path: string): Promise<readonly PoolingMode[]> {
  const dir = join(modelDir, path);
  const config: (Static<typeof PoolingSchema> & Record<string, unknown>) | null =
    await readModelJson(dir, 'config.json', PoolingSchema, { required: true });
  if (config?.include_prompt === false) {
    const what =
      'include_prompt false, which leaves the prompt out of the pooling, is not supported';
    throw new OctavoError('model_unsupported', `${dir}/config.json: ${what}`);
  }
  const stated = config?.pooling_mode;
  if (stated !== undefined) return typeof stated === 'string' ? [stated] : stated;
  const flagged = FLAGS.filter(([flag]) => config?.[flag] === true).map(([, mode]) => mode);
  return flagged.length > 0 ? flagged : ['mean'];
}

function misfit(modelDir: string, path: string, width: number): OctavoError {
  const file = join(modelDir, path, 'config.json');
  return new OctavoError('model_file_corrupt', `${file}: in_features must be ${width}`);
}
