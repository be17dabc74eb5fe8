import { readdirSync, readFileSync } from 'node:fs';

/**
 * Largest resident memory so far of a process and of those that it has started and that run: the
 * sum of what each has had at most. What they share counts for each.
 *
 * @returns bytes; null where no system says it
 */
export function peakBytes(pid: number): number | null {
  const parents = parentsOfAll();
  if (!parents.has(pid)) return null;
  const family = new Set([pid]);
  // (A child may have a lower number than its parent: numbers are used again.)
  for (let before = 0; before < family.size; ) {
    before = family.size;
    for (const [child, parent] of parents) if (family.has(parent)) family.add(child);
  }
  return [...family].reduce((sum, one) => sum + numberOf(one, /^VmHWM:\s+(\d+) kB/m) * 1024, 0);
}

/** The parent of each process of this machine. */
function parentsOfAll(): Map<number, number> {
  try {
    const pids = readdirSync('/proc').map(Number).filter(Number.isInteger);
    return new Map(pids.map((pid) => [pid, numberOf(pid, /^PPid:\s+(\d+)/m)]));
  } catch {
    return new Map();
  }
}

/** 0 when the process has ended meanwhile, or has none. */
function numberOf(pid: number, pattern: RegExp): number {
  try {
    return Number(pattern.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
  } catch {
    return 0;
  }
}
