import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';

const PREFIX = 'octavo-tests-';

/**
 * Gives a run of the tests a temporary directory of its own, for all its processes: what a test
 * leaves there, or a test that was cut off could not remove, goes with it. Every project of the
 * suite asks for it, and all get one: a directory in a directory for each makes paths that are too
 * long for Chromium's socket.
 *
 * @returns what removes it
 */
export function setup(): () => void {
  if (basename(tmpdir()).startsWith(PREFIX)) return () => undefined;
  const directory = mkdtempSync(join(tmpdir(), PREFIX));
  const before = process.env['TMPDIR'];
  process.env['TMPDIR'] = directory;
  return () => {
    if (before === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = before;
    rmSync(directory, { recursive: true, force: true });
  };
}
