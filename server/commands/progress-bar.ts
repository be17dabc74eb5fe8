type Terminal = Pick<NodeJS.WriteStream, 'isTTY' | 'write'> & { readonly columns?: number };

const WIDTH = 30;
/** Less than this is done before anybody could read how far it is. */
const SMALL = 1e6;

/** Bytes that are done of something that takes a while: `total` is known from the start. */
export type ShowProgress = (what: string, done: number, total: number) => void;

/** A bar for people who watch, a line for each tenth otherwise. */
export function progressBar(terminal: Terminal, log: (line: string) => void): ShowProgress {
  let last = '';
  return (what, done, total) => {
    const share = total === 0 ? 1 : done / total;
    const isDone = done >= total;
    const step = Math.floor(share * (terminal.isTTY ? 100 : 10));
    if (last === `${what} ${step}`) return;
    if (total < SMALL && !isDone) return;
    last = `${what} ${step}`;
    const size = `${inUnitOf(total, done)} of ${inUnitOf(total, total)} ${unitOf(total).name}`;
    if (!terminal.isTTY) {
      log(`${what}: ${step * 10} % (${size})`);
      return;
    }
    const bar = '#'.repeat(Math.floor(share * WIDTH)).padEnd(WIDTH, '.');
    const end = isDone ? '\n' : '';
    const state = `${String(step).padStart(3)} %  ${size}`;
    const columns = terminal.columns ?? 120;
    // A line that wraps cannot be written over: what does not fit goes, the bar first.
    const line = [`${what} [${bar}] ${state}`, `${what} ${state}`].find(
      (text) => text.length < columns,
    );
    terminal.write(`\r${(line ?? state).slice(0, columns - 1)}\u001b[K${end}`);
  };
}

function unitOf(total: number): { readonly name: string; readonly bytes: number } {
  if (total < 1e6) return { name: 'KB', bytes: 1e3 };
  return total < 1e8 ? { name: 'MB', bytes: 1e6 } : { name: 'GB', bytes: 1e9 };
}

function inUnitOf(total: number, size: number): string {
  return (size / unitOf(total).bytes).toFixed(2);
}
