import { readFileSync } from 'node:fs';

// Shares of processor time during a measurement.

/** @throws Error on other systems than Linux, for measurements that read /proc */
export function assertLinux(): void {
  if (process.platform !== 'linux') {
    throw new Error(
      `this measurement reads /proc, so it runs on Linux only, not on ${process.platform}`,
    );
  }
}

/**
 * Clock ticks that all processors have worked since the system's start, and that they have been
 * there.
 */
function processorTicks(): { busy: number; all: number } {
  const [line] = readFileSync('/proc/stat', 'utf8').split('\n');
  // user, nice, system, idle, iowait, irq, softirq, steal: what a hypervisor gives to others is
  // work of others.
  const ticks = line.trim().split(/\s+/).slice(1, 9).map(Number);
  const all = ticks.reduce((sum, value) => sum + value, 0);
  return { busy: all - ticks[3] - ticks[4], all };
}

/** Clock ticks of a process with all its threads. */
function ticksOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

/** Shares of all processors. */
export interface ProcessorShares {
  /** This process: the client. */
  readonly client: number;
  readonly server: number;
  /** Share of all other processes. */
  readonly foreign: number;
}

/** Starts measuring; Linux only. @returns a function that ends it */
export function processorShares(server: number): () => ProcessorShares {
  assertLinux();
  const look = () => ({
    ...processorTicks(),
    server: ticksOf(server),
    client: ticksOf(process.pid),
  });
  const before = look();
  return () => {
    const after = look();
    const all = after.all - before.all;
    const client = after.client - before.client;
    const own = after.server - before.server;
    const foreign = after.busy - before.busy - own - client;
    return { client: client / all, server: own / all, foreign: foreign / all };
  };
}
