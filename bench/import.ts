import { statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { modelCacheDir } from '../engine/environment/model-cache-dir.js';
import { contentHash } from '../engine/model/content-hash.js';
import { readModelConfig } from '../engine/model/model-config.js';
import { contentFiles, openModel } from '../engine/model/open-model.js';
import { checkRows } from '../engine/runner/row-check/check-rows.js';
import { loadSegments } from '../engine/runner/segment-session.js';
import { type BenchModel, benchModelFromArgv, THREADS } from './lib/bench-engine.js';
import { type Cell, commandLine, median, publish } from './lib/report.js';

// The time to prepare a model: hashing its files (in a thread, concurrently), reading and rewriting
// its graph, creating sessions, and checking that tokens of different sequences do not mix.

const TIMES = 5;
/** Tables of rotations are made for no more, as in the other measurements. */
const SERVED = 4096;
const TINY = fileURLToPath(new URL('../models/octavo-tiny', import.meta.url));

/** A checkpoint has one precision alone. */
type ImportDtype = BenchModel['dtype'] | 'auto';
/** What weights are rewritten as, and multiplied with. */
type Form = Pick<BenchModel, 'quantize' | 'activations'>;
const dtypeOf = ({ form, dtype }: BenchModel): ImportDtype => (form === 'built' ? 'auto' : dtype);

interface Phases {
  /**
   * Beside the others, in a thread: what of it readiness waits for is what lasts longer than they
   * do together.
   */
  readonly hash: number;
  readonly graph: number;
  readonly sessions: number;
  readonly rows: number;
}

async function once(
  modelDir: string,
  dtype: ImportDtype,
  { quantize, activations }: Form,
): Promise<Phases> {
  const begin = performance.now();
  const files = await contentFiles({ modelDir, dtype });
  await contentHash(files, { cacheDir: null, signal: new AbortController().signal });
  const start = performance.now();
  const { maxPositionEmbeddings: maxLength } = await readModelConfig(modelDir);
  const servedLength = Math.min(maxLength, SERVED);
  const cacheDir = modelCacheDir(undefined, process.env);
  const model = await openModel({
    modelDir,
    dtype,
    maxLength,
    servedLength,
    activations,
    ...(quantize !== 'none' && { quantize: { kind: quantize, nbits: false, cacheDir } }),
  });
  const imported = performance.now();
  const segments = await loadSegments(model, THREADS);
  const loaded = performance.now();
  await checkRows(model, segments);
  const checked = performance.now();
  for (const { session } of segments) await session.release();
  const hash = start - begin;
  return { hash, graph: imported - start, sessions: loaded - imported, rows: checked - loaded };
}

async function measure(
  name: string,
  modelDir: string,
  dtype: ImportDtype,
  form: Form,
): Promise<Cell[]> {
  // The first start rewrites weights, if it has to; later ones find them in the model cache.
  if (form.quantize !== 'none') await once(modelDir, dtype, form);
  const all: Phases[] = [];
  for (let i = 0; i < TIMES; i++) all.push(await once(modelDir, dtype, form));
  const phases = (['graph', 'sessions', 'rows'] as const).map((phase) =>
    median(all.map((times) => times[phase])),
  );
  const total = phases.reduce((a, b) => a + b, 0);
  const hash = median(all.map((times) => times.hash));
  const share = `${Math.round((100 * phases[2]) / total)} %`;
  const gigabytes = (await modelBytes(modelDir, dtype)) / 1e9;
  return [name, ...phases, share, hash, hash / gigabytes];
}

async function modelBytes(modelDir: string, dtype: ImportDtype): Promise<number> {
  const files = await contentFiles({ modelDir, dtype });
  return files.reduce((sum, name) => sum + statSync(name).size, 0);
}

const model = benchModelFromArgv();
if (model.kvDtype !== 'f32') throw new Error('--kv-dtype: pages are no part of an import');
publish({
  name: ['import', model.shape, ...model.variant].join('-'),
  command: commandLine('bench:import'),
  about: `Making a model ready to serve: ${model.description}, and the embedded model. Medians of ${TIMES}; files were read before.`,
  tables: [
    {
      title: 'Milliseconds',
      columns: [
        'model',
        'graph',
        'sessions',
        'rows together and apart',
        'share',
        'hash of the files, alone',
        'hash, for each GB',
      ],
      rows: [
        await measure('octavo-tiny', TINY, 'fp32', { ...model, quantize: 'none' }),
        await measure(model.shape, model.directory, dtypeOf(model), model),
      ],
    },
  ],
});
