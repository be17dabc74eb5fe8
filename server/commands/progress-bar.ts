import type { FetchObserver } from '../../engine/hub/fetch-model.js';

type Terminal = Pick<NodeJS.WriteStream, 'isTTY' | 'write'> & { readonly columns?: number };

const WIDTH = 30;
/** Smaller totals finish before a bar could be read, so none is shown. */
const SMALL = 1e6;

/** Bytes that are done of something that takes a while: `total` is known from the start. */
export type ShowProgress = (what: string, done: number, total: number) => void;

/** A bar on a terminal; otherwise, a line for each tenth. */
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
    // A wrapped line cannot be overwritten, so what does not fit is left out, first the bar.
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

export function downloadObserver(
  terminal: Pick<NodeJS.WriteStream, 'isTTY' | 'write'>,
  log: (line: string) => void,
): FetchObserver {
  const show = progressBar(terminal, log);
  return { log, progress: (file, done, total) => show(`downloading ${file}`, done, total) };
}
