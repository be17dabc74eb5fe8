import type { Logger } from 'pino';
import type { Clock } from '../../engine/clock.js';
import type { Settings } from '../config/settings.js';
import { watchFiles } from '../watched-files.js';
import { readKeyFile } from './key-file.js';
import { KeyTable } from './key-table.js';

/**
 * The keys of a server's settings. Those of the file are read again when it changes; one that
 * cannot be read leaves the keys as they were, and the log says so.
 *
 * @returns `close` ends that
 * @throws OctavoError `usage` for a file with a mistake
 */
export function openKeys(
  { apiKey, keysFile: path }: Pick<Settings, 'apiKey' | 'keysFile'>,
  clock: Clock,
  logger: Logger,
): { readonly keys: KeyTable; readonly close: () => void } {
  if (path === undefined) return { keys: new KeyTable(apiKey), close: () => undefined };
  const keys = new KeyTable(apiKey, readKeyFile(path));
  const close = watchFiles([path], clock, () => {
    try {
      const read = readKeyFile(path);
      keys.replaceNamed(read);
      logger.info(`octavo: ${path} has ${read.length} keys now`);
    } catch (error) {
      logger.error({ err: error }, 'octavo: the keys are those of before');
    }
  });
  return { keys, close };
}
