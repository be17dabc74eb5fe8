import { readFileSync } from 'node:fs';
import { clip } from '../../engine/clip.js';
import { OctavoError } from '../../engine/errors.js';
import type { FileEntry } from './config-file.js';
import { type FlagTexts, nearest } from './flags.js';
import { parseSetting } from './parse-setting.js';
import { environmentName, flagName, isRepeatable, listSettings } from './setting-list.js';
import type { SettingName, Settings } from './settings.js';

/**
 * Merges flags over environment variables over a file over defaults. In a variable, the values of a
 * repeatable setting are separated by commas. An empty variable counts as not set.
 *
 * @throws OctavoError `usage` for the first bad value, naming its flag or variable
 */
export function loadSettings(
  flags: FlagTexts,
  environment: Readonly<Record<string, string | undefined>>,
  file: ReadonlyMap<SettingName, FileEntry> = new Map(),
): Settings {
  const settings: Record<string, unknown> = {};
  for (const [name, schema] of listSettings('all')) {
    const variable = environment[environmentName(name)] ?? '';
    const texts = flags[name];
    const entry = file.get(name);
    if (texts !== undefined) {
      settings[name] = parseSetting(name, schema, texts, flagName(name));
    } else if (variable !== '') {
      if (SERVICE_ADDRESS.test(variable) && name === 'port') throw serviceLink(variable);
      const given = isRepeatable(schema) ? variable.split(',') : [variable];
      settings[name] = parseSetting(name, schema, given, environmentName(name));
    } else if (entry !== undefined) {
      settings[name] = parseSetting(name, schema, entry.texts, entry.source);
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

/**
 * Adds the keys of `--api-key-file` to those of `--api-key`. A file keeps keys out of the process
 * list and of the environment, and is what Docker, Kubernetes and systemd give a secret as. One key
 * a line; empty lines and lines that begin with # are none.
 *
 * @throws OctavoError `usage` for a file that cannot be read, or has no key: the server must not
 *   start without the keys it was to have
 */
export function withKeysOfFile(settings: Settings): Settings {
  const { apiKeyFile: path } = settings;
  if (path === undefined) return settings;
  const lines = read(path).split('\n');
  const keys = lines.map((line) => line.trim()).filter((line) => line !== '' && line[0] !== '#');
  if (keys.length === 0) throw usage(path, 'has no key: must have one a line');
  const odd = keys.find((key) => /\s/.test(key));
  // Not the key itself: the message goes to a log.
  if (odd !== undefined) {
    const at = lines.findIndex((line) => line.trim() === odd) + 1;
    throw usage(path, `line ${at}: must be one key, without spaces`);
  }
  return { ...settings, apiKey: [...settings.apiKey, ...keys] };
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw usage(path, `cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown'})`);
  }
}

function usage(path: string, problem: string): OctavoError {
  return new OctavoError('usage', `--api-key-file ${clip(path)}: ${problem}`, {
    param: '--api-key-file',
  });
}

const PREFIX = 'OCTAVO_';

/** Variables of the repository's benchmarks and tests. */
const TOOLS = /^OCTAVO_(BENCH|SOAK|TEST)_/;

/**
 * What Kubernetes sets in every container of a namespace that has a service called octavo, or
 * octavo-something.
 */
const SERVICE_LINKS = /^OCTAVO_(\w+_)?(SERVICE_(HOST|PORT\w*)|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)$/;

/** The value of such a variable whose name could be a setting's: OCTAVO_PORT. */
export const SERVICE_ADDRESS = /^(tcp|udp|sctp):\/\//;

/**
 * Warns of variables that look like a setting but are none, one line each. They are no error:
 * variables that are set for a group of programs, as in Kubernetes, must not keep the server from
 * starting.
 */
export function warnOfUnknownVariables(
  environment: Readonly<Record<string, string | undefined>>,
  warn: (line: string) => void,
): void {
  const known = listSettings('all').map(([name]) => environmentName(name));
  for (const [name, value = ''] of Object.entries(environment)) {
    if (!name.startsWith(PREFIX) || known.includes(name)) continue;
    if (TOOLS.test(name) || SERVICE_LINKS.test(name)) continue;
    if (name.endsWith('_PORT') && SERVICE_ADDRESS.test(value)) continue;
    const bare = known.map((other) => other.slice(PREFIX.length));
    const best = nearest(name.slice(PREFIX.length), bare);
    const meant = best === null ? '' : `: did you mean ${PREFIX}${best}?`;
    warn(`the variable ${name} is unknown and has no effect${meant}`);
  }
}
