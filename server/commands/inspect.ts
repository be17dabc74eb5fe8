import { importModel } from '../../engine/importer/import-model.js';
import { formatReport } from '../../engine/importer/inspect.js';
import { assertDirectory } from './engine-options.js';

/** `octavo inspect`: prints what was recognised in a model's graph. */
export async function inspect(modelDir: string): Promise<number> {
  await assertDirectory(modelDir, 'model directory');
  const model = await importModel({ modelDir });
  process.stdout.write(`${formatReport(model).trimEnd()}\n`);
  return 0;
}
