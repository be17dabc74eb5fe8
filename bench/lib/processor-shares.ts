import { readFileSync } from 'node:fs';

// Who has the processors while something is measured; Linux only.

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

/** Of a process with all its threads. */
function ticksOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

/** Shares of all processors. */
export interface ProcessorShares {
  /** This process: the client. */
  readonly client: number;
  /** What neither the server nor the client has taken. */
  readonly foreign: number;
}

/** Begins to look. @returns what ends it */
export function processorShares(server: number): () => ProcessorShares {
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
    const own = after.server - before.server + client;
    return { client: client / all, foreign: (after.busy - before.busy - own) / all };
  };
}
