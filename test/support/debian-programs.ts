import { spawnSync } from 'node:child_process';

/**
 * Whether a program that Debian has is installed. Where it is not, tests of it are skipped and say
 * so; CI installs it, and there its absence is an error.
 */
export function hasProgram(name: string): boolean {
  const found = spawnSync(name, ['--version'], { stdio: 'ignore' }).error === undefined;
  if (!found && process.env['CI'] === 'true') {
    throw new Error(`${name} is missing: .ci/run must install it`);
  }
  return found;
}
