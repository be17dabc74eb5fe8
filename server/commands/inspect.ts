import { availableParallelism } from 'node:os';
import { findModel } from '../../engine/hub/find-model.js';
import type { ImportedModel } from '../../engine/importer/imported-model.js';
import { formatReport } from '../../engine/importer/inspect.js';
import { exactWeightBits } from '../../engine/importer/quantize/exact-weight-bits.js';
import { inspectQuantization } from '../../engine/importer/quantize/quantize-model.js';
import { checkConfig } from '../../engine/model/check-config.js';
import { openGraph, openModel } from '../../engine/model/open-model.js';
import { readServableConfig } from '../../engine/model/servable-config.js';
import { checkRows } from '../../engine/runner/row-check/check-rows.js';
import { loadSegments } from '../../engine/runner/segment-session.js';
import { warnOfUnknownVariables } from '../config/load-settings.js';
import type { Settings } from '../config/settings.js';
import { downloadObserver } from './progress-bar.js';

/**
 * Finds errors that show only when the model runs, so that a model that passes inspection can be
 * served.
 */
async function tryRows(model: ImportedModel): Promise<void> {
  const segments = await loadSegments(model, availableParallelism());
  try {
    await checkRows(model, segments);
  } finally {
    for (const { session } of segments) await session.release();
  }
}

/**
 * `octavo inspect`: prints what was recognized in a model's graph, and what `--quantize` would
 * rewrite.
 */
export async function inspect(
  modelName: string,
  settings: Pick<Settings, 'dtype' | 'quantize' | 'quantizeNbits'>,
): Promise<number> {
  const log = (line: string): void => void process.stderr.write(`${line}\n`);
  warnOfUnknownVariables(process.env, (line) => log(`octavo: ${line}`));
  const { dir: modelDir } = await findModel(
    modelName,
    'model',
    settings.dtype,
    downloadObserver(process.stderr, log),
  );
  const config = await readServableConfig(modelDir, settings.dtype);
  const maxLength = config.maxPositionEmbeddings;
  const model = await openModel({ modelDir, dtype: settings.dtype, maxLength });
  const lines = [formatReport(model).trimEnd()];
  await tryRows(model);
  lines.push('', 'ran tokens of several sequences together and apart: they do not mix');
  if (settings.quantize !== 'none') {
    const scope = { nbits: settings.quantizeNbits };
    const graph = await openGraph(modelDir, settings.dtype);
    const plan = inspectQuantization(graph, scope, await exactWeightBits());
    lines.push(
      '',
      `--quantize ${settings.quantize} would rewrite`,
      ...plan.map((line) => `  ${line}`),
    );
  }
  process.stdout.write(`${lines.join('\n')}\n`);
  checkConfig(config, model);
  return 0;
}
