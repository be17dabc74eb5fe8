import { embeddedModelDir } from '../../engine/environment/package-root.js';
import { type FoundModel, findModel } from '../../engine/hub/find-model.js';
import type { Settings } from '../config/settings.js';
import { downloadObserver } from './progress-bar.js';

/** @throws OctavoError see `findModel` */
export function servedModelFiles(
  settings: Settings,
  log: (line: string) => void,
): Promise<FoundModel> {
  const observer = downloadObserver(process.stderr, log);
  return findModel(settings.model ?? embeddedModelDir(), '--model', settings.dtype, observer);
}
