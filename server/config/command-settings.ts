import { clip } from '../../engine/clip.js';
import { OctavoError } from '../../engine/errors.js';
import { settingsFile } from './config-file.js';
import { flagTexts } from './flags.js';
import { loadSettings } from './load-settings.js';
import type { Settings } from './settings.js';

/** Options of a command, as commander has collected them. */
export type Options = Record<string, unknown>;

/**
 * The settings of a command: flags over environment variables over a file over defaults.
 *
 * @throws OctavoError `usage` for the first bad value, naming its flag, variable or line
 */
export function commandSettings(options: Options): Settings {
  const flags = flagTexts(options);
  const file = settingsFile(flags.config?.at(-1) ?? process.env['OCTAVO_CONFIG']);
  const [problem] = file?.problems ?? [];
  if (problem !== undefined) throw new OctavoError('usage', problem, { param: '--config' });
  const settings = loadSettings(flags, process.env, file?.entries);
  return file === null ? settings : { ...settings, config: file.path };
}

/**
 * The options of a command that names its model without `--model`.
 *
 * @throws OctavoError `usage` when both name one
 */
export function withModel(options: Options, model: string | undefined): Options {
  if (model === undefined) return options;
  if (options['model'] === undefined) return { ...options, model: [model] };
  throw new OctavoError('usage', `model ${clip(model)}: is named by --model, too`);
}
