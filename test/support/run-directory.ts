import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * Gives a run of the tests a temporary directory of its own, for all its processes: what a test leaves there, or a test that was cut off
 * could not remove, goes with it.
 *
 * @returns what removes it
 */
export function setup(): () => void {
  const directory = mkdtempSync(join(tmpdir(), 'octavo-tests-'));
  const before = process.env['TMPDIR'];
  process.env['TMPDIR'] = directory;
  return () => {
    if (before === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = before;
    rmSync(directory, { recursive: true, force: true });
  };
}
