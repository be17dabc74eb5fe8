import { clip } from '../../engine/clip.js';
import { embeddedModelDir } from '../../engine/environment/package-root.js';
import { OctavoError } from '../../engine/errors.js';
import { type FoundModel, findModel } from '../../engine/hub/find-model.js';
import type { Settings } from '../config/settings.js';
import { tooLargeLine } from '../pool/fit.js';
import { downloadObserver } from './progress-bar.js';

/**
 * The one model of a command that runs one. A line says so when it takes more memory than there is.
 *
 * @throws OctavoError `usage` for several; see also `findModel`
 */
export async function servedModelFiles(
  settings: Settings,
  log: (line: string) => void,
): Promise<FoundModel> {
  const [model = embeddedModelDir(), another] = settings.model;
  if (another !== undefined) {
    const message = `--model ${clip(another)}: must be one; only octavo serve takes several`;
    throw new OctavoError('usage', message, { param: '--model' });
  }
  const observer = downloadObserver(process.stderr, log);
  const found = await findModel(model, '--model', settings, observer);
  const problem = await tooLargeLine(found, settings);
  if (problem !== null) log(problem);
  return found;
}
