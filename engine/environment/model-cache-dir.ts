import { homedir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';

/**
 * Default directory of rewritten models, by the XDG base directory specification: a relative
 * XDG_CACHE_HOME is ignored.
 */
export function modelCacheDir(
  chosen: string | undefined,
  environment: Readonly<Record<string, string | undefined>>,
): string {
  if (chosen !== undefined) return resolve(chosen);
  const base = environment['XDG_CACHE_HOME'];
  return join(base && isAbsolute(base) ? base : join(homedir(), '.cache'), 'octavo');
}
