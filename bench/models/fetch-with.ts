import { type ExecFileOptions, execFile } from 'node:child_process';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';

/** Milliseconds before each further try, in CI. */
const PAUSES = process.env['CI'] === 'true' ? [5000, 30_000] : [];

/**
 * Runs a program that fetches something. CI has nothing to fall back on, so there a network that
 * fails for a moment is asked again; elsewhere, what cannot be fetched is soon known to be absent.
 *
 * @throws Error what the program said at the last try
 */
export async function fetchWith(
  program: string,
  args: readonly string[],
  options: ExecFileOptions,
): Promise<void> {
  for (const pause of PAUSES) {
    try {
      await promisify(execFile)(program, args, options);
      return;
    } catch (error) {
      console.error(`${program} is tried again in ${pause / 1000} s: ${String(error)}`);
      await setTimeout(pause);
    }
  }
  await promisify(execFile)(program, args, options);
}
