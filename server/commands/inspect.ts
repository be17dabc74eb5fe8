import { OctavoError } from '../../engine/errors.js';
import { importModel } from '../../engine/importer/import-model.js';
import { formatReport } from '../../engine/importer/inspect.js';
import { DTYPES, type Dtype } from '../../engine/importer/variants.js';
import { checkConfig } from '../../engine/model/check-config.js';
import { readModelConfig } from '../../engine/model/model-config.js';
import { assertDirectory } from './engine-options.js';

/** `octavo inspect`: prints what was recognised in a model's graph. */
export async function inspect(modelDir: string, dtype: string): Promise<number> {
  await assertDirectory(modelDir, 'model directory');
  if (!isDtype(dtype)) {
    throw new OctavoError('usage', `--dtype ${dtype}: must be one of auto, ${DTYPES.join(', ')}`, {
      param: '--dtype',
    });
  }
  const config = await readModelConfig(modelDir);
  const model = await importModel({ modelDir, dtype, maxLength: config.maxPositionEmbeddings });
  await model.release();
  process.stdout.write(`${formatReport(model).trimEnd()}\n`);
  checkConfig(config, model);
  return 0;
}

function isDtype(text: string): text is Dtype | 'auto' {
  return text === 'auto' || (DTYPES as readonly string[]).includes(text);
}
