import type { Logger } from 'pino';
import { clip } from '../../engine/clip.js';
import { OctavoError } from '../../engine/errors.js';
import { parseHubId } from '../../engine/hub/hub-id.js';
import { flagName } from '../config/setting-list.js';
import type { Settings } from '../config/settings.js';
import { type ModelSpec, modelsIn } from '../pool/model-list.js';
import type { ModelSource, OwnedParts } from '../pool/model-source.js';

/**
 * The default model is loaded before the server takes requests.
 *
 * @param isAlone without it, the server has nothing to serve
 * @returns null when it cannot be loaded and others are served: the next request tries again
 * @throws OctavoError why it cannot be loaded
 */
export async function loadFirst(
  source: ModelSource,
  isAlone: boolean,
  logger: Logger,
): Promise<OwnedParts | null> {
  try {
    return await source.load();
  } catch (error) {
    if (isAlone) throw error;
    logger.error({ err: error, model: source.names[0] }, 'octavo: the default model is not loaded');
    return null;
  }
}

/** @throws OctavoError `usage` for what is written for one model only */
export function assertOfOneModel(settings: Settings, specs: readonly unknown[]): void {
  if (specs.length === 1 && !settings.allowPull && settings.modelsDir === undefined) return;
  for (const name of ['kvEventsEndpoint', 'traceSteps', 'chatTemplate', 'file'] as const) {
    if (settings[name] === undefined) continue;
    const message = `${flagName(name)} ${clip(settings[name])}: must not be given with several models`;
    throw new OctavoError('usage', message, { param: flagName(name) });
  }
  const { lora, enableLora, allowRuntimeLoraUpdating } = settings;
  if (lora.length > 0 || enableLora || allowRuntimeLoraUpdating) {
    const message =
      '--lora, --enable-lora and --allow-runtime-lora-updating must not be given with several models';
    throw new OctavoError('usage', message, { param: '--lora' });
  }
}

/** A model that was not known at the start: of `--models-dir`, or the hub's, if that is allowed. */
export function discoverModel(name: string, { modelsDir, allowPull }: Settings): ModelSpec | null {
  const isAsked = ({ names }: ModelSpec): boolean => names.includes(name);
  const found = modelsDir === undefined ? undefined : modelsIn(modelsDir).find(isAsked);
  if (found || !allowPull) return found ?? null;
  const id = parseHubId(name.replace(/:latest$/, ''));
  return id && { names: [name], model: id.repo, flag: 'model' };
}
