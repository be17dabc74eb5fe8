import { importModel } from '../../engine/importer/import-model.js';
import { formatReport } from '../../engine/importer/inspect.js';
import { exactWeightBits } from '../../engine/importer/quantize/exact-weight-bits.js';
import { inspectQuantization } from '../../engine/importer/quantize/quantize-model.js';
import { checkConfig } from '../../engine/model/check-config.js';
import { readServableConfig } from '../../engine/model/servable-config.js';
import type { Settings } from '../config/settings.js';
import { warnOfUnknownVariables } from '../config/unknown-variables.js';
import { findModel } from './find-model.js';

/** `octavo inspect`: prints what was recognised in a model's graph, and what `--quantize` would rewrite. */
export async function inspect(
  modelName: string,
  settings: Pick<Settings, 'dtype' | 'quantize' | 'quantizeNbits'>,
): Promise<number> {
  const log = (line: string): void => void process.stderr.write(`${line}\n`);
  warnOfUnknownVariables(process.env, (line) => log(`octavo: ${line}`));
  const { dir: modelDir } = await findModel(modelName, 'model', settings.dtype, log);
  const config = await readServableConfig(modelDir, settings.dtype);
  const maxLength = config.maxPositionEmbeddings;
  const model = await importModel({ modelDir, dtype: settings.dtype, maxLength });
  const lines = [formatReport(model).trimEnd()];
  if (settings.quantize !== 'none') {
    const scope = { nbits: settings.quantizeNbits };
    const plan = await inspectQuantization(model.report.file, scope, await exactWeightBits());
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
