import { readFileSync } from 'node:fs';

// How much of the machine is somebody else's while something is measured; Linux only.

/** Clock ticks that all processors have worked since the system's start, and that they have been there. */
function processorTicks(): { busy: number; all: number } {
  const [line] = readFileSync('/proc/stat', 'utf8').split('\n');
  // user, nice, system, idle, iowait, irq, softirq, steal: what a hypervisor gives to others is work of others.
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

/** Begins to look. @returns what ends it, and gives the share of the processors that neither a process nor this one has taken */
export function foreignShare(pid: number): () => number {
  const look = () => ({ ...processorTicks(), own: ticksOf(pid) + ticksOf(process.pid) });
  const before = look();
  return () => {
    const after = look();
    const own = after.own - before.own;
    return (after.busy - before.busy - own) / (after.all - before.all);
  };
}
