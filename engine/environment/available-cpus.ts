import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

export interface CpuSources {
  /** Processors that the scheduler may put us on. */
  readonly parallelism: number;
  /** @returns the file's text, or null when there is none */
  readonly read: (path: string) => string | null;
}

const SYSTEM: CpuSources = {
  parallelism: availableParallelism(),
  read: (path) => {
    try {
      return readFileSync(path, 'utf8');
    } catch {
      return null;
    }
  },
};

/**
 * Processors that a container may really use: `docker run --cpus 2` leaves all of them visible and
 * limits the time on them, and more threads than that are stopped in the middle of a step. Node
 * looks at the limit from version 22 on only.
 */
export function availableCpus(sources: CpuSources = SYSTEM): number {
  const limit = cgroupLimit(sources.read);
  return Math.max(1, Math.min(sources.parallelism, Math.floor(limit)));
}

/** Processors' worth of time that the control group gets; Infinity without a limit. */
function cgroupLimit(read: CpuSources['read']): number {
  // Version 2: "200000 100000", or "max 100000". In a container this is the root of what is
  // visible.
  const both = read('/sys/fs/cgroup/cpu.max')?.trim().split(/\s+/);
  if (both) return share(both[0], both[1]);
  const quota = read('/sys/fs/cgroup/cpu/cpu.cfs_quota_us');
  const period = read('/sys/fs/cgroup/cpu/cpu.cfs_period_us');
  return share(quota ?? '-1', period ?? '');
}

function share(quota: string, period: string): number {
  const value = Number(quota) / Number(period);
  return value > 0 ? value : Number.POSITIVE_INFINITY;
}
