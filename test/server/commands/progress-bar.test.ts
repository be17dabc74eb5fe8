import { describe, expect, it } from 'vitest';
import { progressBar } from '../../../server/commands/progress-bar.js';

function show(
  terminal: { readonly isTTY: boolean; readonly columns?: number },
  total: number,
  steps: readonly number[],
): { readonly written: string; readonly log: string[] } {
  const log: string[] = [];
  let written = '';
  const write = (text: string): boolean => ((written += text), true);
  const bar = progressBar({ ...terminal, write }, (line) => void log.push(line));
  for (const done of steps) bar('downloading onnx/model.onnx', done, total);
  return { written, log };
}

const thousandSteps = (total: number): number[] =>
  Array.from({ length: 1001 }, (_, i) => (i / 1000) * total);

describe('progress', () => {
  it('is a line for each tenth where nobody watches', () => {
    const { written, log } = show({ isTTY: false }, 2.5e9, thousandSteps(2.5e9));
    expect(written).toBe('');
    expect(log).toHaveLength(11);
    expect(log[3]).toBe('downloading onnx/model.onnx: 30 % (0.75 of 2.50 GB)');
    expect(log[10]).toBe('downloading onnx/model.onnx: 100 % (2.50 of 2.50 GB)');
  });

  it('is one line for a small file', () => {
    const { log } = show({ isTTY: false }, 2500, [0, 1000, 2500]);
    expect(log).toEqual(['downloading onnx/model.onnx: 100 % (2.50 of 2.50 KB)']);
  });

  it('is a bar that is written over on a terminal, and never wraps', () => {
    for (const columns of [20, 60, 80, 200]) {
      const { written, log } = show({ isTTY: true, columns }, 5e7, thousandSteps(5e7));
      expect(log).toEqual([]);
      const lines = written.trimEnd().split('\r').slice(1);
      expect(lines).toHaveLength(101);
      for (const line of lines) {
        expect(line.endsWith('\u001b[K')).toBe(true);
        expect(line.length - 3).toBeLessThan(columns);
      }
      expect(lines[100]).toContain(columns > 40 ? '100 %  50.00 of 50.00 MB' : '100 %');
      expect(lines[50].includes('#')).toBe(columns > 90);
      expect(written.endsWith('\n')).toBe(true);
    }
  });
});
