import { homedir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';

/**
 * Where rewritten models are kept unless a flag says otherwise, by the XDG base directory
 * specification: a relative XDG_CACHE_HOME counts as none.
 */
export function modelCacheDir(
  chosen: string | undefined,
  environment: Readonly<Record<string, string | undefined>>,
): string {
  if (chosen !== undefined) return resolve(chosen);
  const base = environment['XDG_CACHE_HOME'];
  return join(base && isAbsolute(base) ? base : join(homedir(), '.cache'), 'octavo');
}
