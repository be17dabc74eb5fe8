import { readFileSync } from 'node:fs';
import { clip } from '../../engine/clip.js';
import { OctavoError } from '../../engine/errors.js';
import type { Settings } from './settings.js';

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
