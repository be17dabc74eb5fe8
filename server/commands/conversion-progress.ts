import type { ConversionProgress } from '../../engine/importer/quantize/convert-weights.js';

const WIDTH = 30;
const WHAT = 'rewriting weights as w8a8';

/** A bar for people who watch, a line for each tenth otherwise. */
export function conversionProgress(
  terminal: Pick<NodeJS.WriteStream, 'isTTY' | 'write'>,
  log: (line: string) => void,
): ConversionProgress {
  let last = -1;
  return (done, total) => {
    const share = total === 0 ? 1 : done / total;
    const step = Math.floor(share * (terminal.isTTY ? 100 : 10));
    if (step === last) return;
    last = step;
    const size = `${(done / 1e9).toFixed(2)} of ${(total / 1e9).toFixed(2)} GB`;
    if (!terminal.isTTY) {
      log(`${WHAT}: ${step * 10} % (${size})`);
      return;
    }
    const bar = '#'.repeat(Math.floor(share * WIDTH)).padEnd(WIDTH, '.');
    const end = done >= total ? '\n' : '';
    terminal.write(`\r${WHAT} [${bar}] ${String(step).padStart(3)} %  ${size}${end}`);
  };
}
