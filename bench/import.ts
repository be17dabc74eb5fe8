import { fileURLToPath } from 'node:url';
import { importModel } from '../engine/importer/import-model.js';
import { readModelConfig } from '../engine/model/model-config.js';
import { checkRows } from '../engine/runner/row-check/check-rows.js';
import { loadSegments } from '../engine/runner/segment-session.js';
import { type BenchModel, benchModelFromArgv, THREADS } from './lib/bench-engine.js';
import { type Cell, median, publish } from './lib/report.js';

// What it takes to make a model ready: reading and rewriting its graph, sessions, and a look at whether tokens of different sequences mix.

const TIMES = 5;
/** Tables of rotations are made for no more, as in the other measurements. */
const SERVED = 4096;
const TINY = fileURLToPath(new URL('../models/octavo-tiny', import.meta.url));

interface Phases {
  readonly graph: number;
  readonly sessions: number;
  readonly rows: number;
}

async function once(modelDir: string, dtype: BenchModel['dtype']): Promise<Phases> {
  const start = performance.now();
  const { maxPositionEmbeddings: maxLength } = await readModelConfig(modelDir);
  const servedLength = Math.min(maxLength, SERVED);
  const model = await importModel({ modelDir, dtype, maxLength, servedLength });
  const imported = performance.now();
  const segments = await loadSegments(model, THREADS);
  const loaded = performance.now();
  await checkRows(model, segments);
  const checked = performance.now();
  for (const { session } of segments) await session.release();
  return { graph: imported - start, sessions: loaded - imported, rows: checked - loaded };
}

async function measure(
  name: string,
  modelDir: string,
  dtype: BenchModel['dtype'],
): Promise<Cell[]> {
  const all: Phases[] = [];
  for (let i = 0; i < TIMES; i++) all.push(await once(modelDir, dtype));
  const phases = (['graph', 'sessions', 'rows'] as const).map((phase) =>
    median(all.map((times) => times[phase])),
  );
  const total = phases.reduce((a, b) => a + b, 0);
  return [name, ...phases, `${Math.round((100 * phases[2]) / total)} %`];
}

const model = benchModelFromArgv();
publish({
  name: ['import', model.shape, ...model.variant].join('-'),
  command: ['npm run bench:import --', ...process.argv.slice(2)].join(' '),
  about: `Making a model ready to serve: ${model.description}, and the embedded model. Medians of ${TIMES}; files were read before.`,
  tables: [
    {
      title: 'Milliseconds',
      columns: ['model', 'graph', 'sessions', 'rows together and apart', 'share'],
      rows: [
        await measure('octavo-tiny', TINY, 'fp32'),
        await measure(model.shape, model.directory, model.dtype),
      ],
    },
  ],
});
