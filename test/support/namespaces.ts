import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { eventually } from './eventually.js';

/**
 * Whether this user may make namespaces of the kernel: containers often forbid it. Without them,
 * tests that need one are skipped.
 */
export function canUnshare(): boolean {
  return spawnSync('unshare', ['-rmpf', '--mount-proc', 'true'], { stdio: 'ignore' }).status === 0;
}

/** The process that `unshare --fork` has started, by its number outside the namespace. */
export async function childOf(pid: number): Promise<number> {
  const children = (): string[] =>
    readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean);
  await eventually(() => children().length === 1, 'the process is started');
  return Number(children()[0]);
}
