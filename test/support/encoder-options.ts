import { engineOptions } from '../../engine/client/engine-options.js';
import type { EngineOptions } from '../../engine/protocol/options.js';
import { loadSettings } from '../../server/config/load-settings.js';

/** An encoder's engine as `octavo serve` starts it, with one thread. */
export function encoderOptions(dir: string): EngineOptions {
  const settings = { ...loadSettings({}, {}), threads: 1 };
  return engineOptions(settings, { dir }, { device: 'cpu' }, 'encoder');
}
