import { statSync } from 'node:fs';
import type { Clock } from '../engine/clock.js';

const INTERVAL_MS = 1000;

/**
 * Calls back when one of some files has another content, as far as its size, time or number says.
 * It looks at them: what mounts secrets as files (Kubernetes) replaces links above them, of which
 * the system's own events tell nothing.
 *
 * @returns what ends this
 */
export function watchFiles(
  paths: readonly string[],
  clock: Clock,
  changed: () => void,
): () => void {
  let seen = paths.map(stateOf);
  const timer = clock.startTimer(() => {
    const now = paths.map(stateOf);
    const isSame = now.every((state, i) => state === seen[i]);
    seen = now;
    timer.restart();
    if (!isSame) changed();
  }, INTERVAL_MS);
  return () => timer.cancel();
}

function stateOf(path: string): string {
  const state = statSync(path, { throwIfNoEntry: false, bigint: true });
  return state ? `${state.ino} ${state.size} ${state.mtimeNs}` : 'none';
}
