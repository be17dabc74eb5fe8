import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

export interface CpuSources {
  /** Processors that the operating system may run this process on. */
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
 * Processors that a container may use in fact: `docker run --cpus 2` leaves all of them visible but
 * limits the time on them, and with more threads, some are stopped in the middle of a step. Node
 * respects the limit only from version 22 on. Without control groups (other systems than Linux),
 * this is Node's own number.
 */
export function availableCpus(sources: CpuSources = SYSTEM): number {
  const limit = cgroupLimit(sources.read);
  return Math.max(1, Math.min(sources.parallelism, Math.floor(limit)));
}

/** Processor time of the control group, in processors; Infinity without a limit. */
function cgroupLimit(read: CpuSources['read']): number {
  // Version 2: "200000 100000", or "max 100000". In a container, this path is the container's own
  // group.
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
