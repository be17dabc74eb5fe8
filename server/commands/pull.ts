import { clip } from '../../engine/clip.js';
import { OctavoError } from '../../engine/errors.js';
import { fetchModel } from '../../engine/hub/fetch-model.js';
import { parseHubId } from '../../engine/hub/hub-id.js';
import { readHubSettings } from '../../engine/hub/hub-settings.js';
import type { Settings } from '../config/settings.js';
import { downloadObserver } from './progress-bar.js';

/**
 * `octavo pull`: downloads a model of the hub, or goes on with a download that was broken off.
 *
 * @throws OctavoError what `fetchModel` throws; `usage` for a name that is none of the hub's
 */
export async function pull(name: string, { file, dtype }: Settings): Promise<number> {
  const id = parseHubId(name);
  if (id === null) {
    const allowed = 'must be a model of the hub: owner/name[@revision][:quantization]';
    throw new OctavoError('usage', `model ${clip(name)}: ${allowed}`, { param: 'model' });
  }
  const log = (line: string): void => void process.stderr.write(`${line}\n`);
  const observer = downloadObserver(process.stderr, log);
  const settings = await readHubSettings(process.env);
  const { dir, weights } = await fetchModel(id, { settings, file, dtype, observer });
  process.stdout.write(`${dir}/${weights.file}\n`);
  return 0;
}
