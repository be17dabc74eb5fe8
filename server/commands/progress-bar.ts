type Terminal = Pick<NodeJS.WriteStream, 'isTTY' | 'write'>;

const WIDTH = 30;

/** Bytes that are done of something that takes a while: `total` is known from the start. */
export type ShowProgress = (what: string, done: number, total: number) => void;

/** A bar for people who watch, a line for each tenth otherwise. */
export function progressBar(terminal: Terminal, log: (line: string) => void): ShowProgress {
  let last = '';
  return (what, done, total) => {
    const share = total === 0 ? 1 : done / total;
    const step = Math.floor(share * (terminal.isTTY ? 100 : 10));
    if (last === `${what} ${step}`) return;
    last = `${what} ${step}`;
    const [unit, bytes] = total < 1e8 ? ['MB', 1e6] : ['GB', 1e9];
    const size = `${(done / bytes).toFixed(2)} of ${(total / bytes).toFixed(2)} ${unit}`;
    if (!terminal.isTTY) {
      log(`${what}: ${step * 10} % (${size})`);
      return;
    }
    const bar = '#'.repeat(Math.floor(share * WIDTH)).padEnd(WIDTH, '.');
    const end = done >= total ? '\n' : '';
    terminal.write(`\r${what} [${bar}] ${String(step).padStart(3)} %  ${size}${end}`);
  };
}
