import { DEFAULT_CONFIG, readConfigFile } from '../config/config-file.js';

/** Exit code of an error of usage. */
const WRONG = 2;

/**
 * `octavo config check`: prints a line for each problem of a file of settings.
 *
 * @throws OctavoError `usage` for a file that cannot be read
 */
export function checkConfigFile(path = DEFAULT_CONFIG): number {
  const { entries, problems } = readConfigFile(path);
  for (const problem of problems) process.stderr.write(`octavo: ${problem}\n`);
  if (problems.length > 0) return WRONG;
  const settings = entries.size === 1 ? '1 setting' : `${entries.size} settings`;
  process.stdout.write(`${path}: ${settings}, all right\n`);
  return 0;
}
