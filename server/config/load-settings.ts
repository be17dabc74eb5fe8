import { clip } from '../../engine/clip.js';
import { OctavoError } from '../../engine/errors.js';
import type { FlagTexts } from './flags.js';
import { parseSetting } from './parse-setting.js';
import {
  environmentName,
  flagName,
  isRepeatable,
  listSettings,
  type Settings,
} from './settings.js';
import { SERVICE_ADDRESS } from './unknown-variables.js';

/**
 * Merges flags over environment variables over defaults. In a variable, the values of a repeatable
 * setting are separated by commas. An empty variable counts as not set.
 *
 * @throws OctavoError `usage` for the first bad value, naming its flag or variable
 */
export function loadSettings(
  flags: FlagTexts,
  environment: Readonly<Record<string, string | undefined>>,
): Settings {
  const settings: Record<string, unknown> = {};
  for (const [name, schema] of listSettings('all')) {
    const variable = environment[environmentName(name)] ?? '';
    const texts = flags[name];
    if (texts !== undefined) {
      settings[name] = parseSetting(name, schema, texts, flagName(name));
    } else if (variable !== '') {
      if (SERVICE_ADDRESS.test(variable) && name === 'port') throw serviceLink(variable);
      const given = isRepeatable(schema) ? variable.split(',') : [variable];
      settings[name] = parseSetting(name, schema, given, environmentName(name));
    } else if (schema.default !== undefined) {
      settings[name] = schema.default;
    }
  }
  return settings as Settings;
}

function serviceLink(address: string): OctavoError {
  return new OctavoError(
    'usage',
    `OCTAVO_PORT ${clip(address)}: must be an integer; Kubernetes sets it for a service called octavo: ` +
      'give the pod enableServiceLinks: false, or the service another name',
    { param: 'OCTAVO_PORT' },
  );
}
