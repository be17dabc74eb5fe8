import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { LOADS } from '../../../bench/peers/loads.js';
import { peakBytes } from '../../../bench/peers/process-memory.js';
import { mergeRuns, type Run, tablesOf } from '../../../bench/peers/runs.js';
import { COMPARISONS, TARGETS, targetsOf } from '../../../bench/peers/targets.js';
import { FAMILIES, VARIANTS } from '../../../bench/peers/variants.js';

/** One in which Octavo and a peer gave so many tokens a second to 8 clients, over HTTP. */
const runOf = (
  families: Run['families'],
  octavo: number,
  peer: string,
  rate: number,
  notes = '1 round',
): Run => ({
  command: `of ${families.join(' and ')}`,
  commit: 'abc',
  date: '2026-12-01',
  notes,
  families,
  variants: ['octavo w8a8, HTTP', peer],
  results: { '8 x 512/decode/octavo w8a8, HTTP': [octavo], [`8 x 512/decode/${peer}`]: [rate] },
  footprints: { [peer]: [{ readyMs: 2000, peakBytes: 3e9 }] },
});

const vllm = runOf(['vLLM'], 200, 'vllm bf16, HTTP', 100);
const llama = runOf(["llama.cpp's server"], 180, 'llama-server Q4_0, HTTP', 90);

test('a run replaces what earlier ones tell of its families, and nothing else', () => {
  const both = { ...vllm, families: ['vLLM', 'OpenVINO'] as const };
  expect(mergeRuns([], vllm)).toEqual([vllm]);
  expect(mergeRuns([vllm], llama)).toEqual([vllm, llama]);
  expect(mergeRuns([vllm, llama], both)).toEqual([llama, both]);
  expect(mergeRuns([both], vllm)).toEqual([{ ...both, families: ['OpenVINO'] }, vllm]);
});

test('each ratio is of figures of one run, which the table names', () => {
  const tables = tablesOf([vllm, llama], VARIANTS, TARGETS, LOADS);
  const rowsOf = (title: string) => tables.find((table) => table.title.startsWith(title))?.rows;
  expect(rowsOf('HTTP with HTTP')?.filter(([load]) => `${load}`.includes('8 clients'))).toEqual([
    [
      'decode, 8 clients, HTTP (tokens/s)',
      '200 (octavo w8a8, HTTP)',
      'vLLM',
      '100 (vllm bf16, HTTP)',
      '2',
      '',
      'run 1',
    ],
    [
      'decode, 8 clients, HTTP (tokens/s)',
      '180 (octavo w8a8, HTTP)',
      "llama.cpp's server",
      '90 (llama-server Q4_0, HTTP)',
      '2',
      '',
      'run 2',
    ],
  ]);
  // No run was of engines in a process.
  expect(rowsOf('Process with process')).toBeUndefined();
  expect(rowsOf('Time until')).toEqual([
    ['vllm bf16, HTTP', 2, 3, 'run 1'],
    ['llama-server Q4_0, HTTP', 2, 3, 'run 2'],
  ]);
  expect(rowsOf('All loads (concurrency x prompt tokens), run 2')).toEqual([
    ['8 x 512', 'decode, tokens/s', 180, 90],
  ]);
  expect(rowsOf('Runs')?.map(([label, command]) => [label, command])).toEqual([
    ['run 1', '`of vLLM`'],
    ['run 2', "`of llama.cpp's server`"],
  ]);
});

test('each pair that has a target stands in one of the comparisons', () => {
  const pairs = (target: (typeof TARGETS)[number]) =>
    Object.keys(target.against).map((family) => `${target.title}: ${family}`);
  const shown = COMPARISONS.flatMap((comparison) =>
    targetsOf(TARGETS, comparison, FAMILIES).flatMap(pairs),
  );
  expect(shown.toSorted()).toEqual(TARGETS.flatMap(pairs).toSorted());
  expect(targetsOf(TARGETS, COMPARISONS[1], ['OpenVINO']).flatMap(pairs)).toEqual([]);
});

test.runIf(existsSync('/proc/self/status'))('the memory of a process and its child', async () => {
  const own = peakBytes(process.pid) ?? 0;
  expect(own).toBeGreaterThan(2 ** 20);
  const child = spawn(process.execPath, ['-e', 'process.stdin.resume(); console.log("runs")']);
  try {
    await once(child.stdout, 'data');
    const { pid } = child;
    const more = pid === undefined ? 0 : (peakBytes(pid) ?? 0);
    expect(more).toBeGreaterThan(2 ** 20);
    expect(peakBytes(process.pid)).toBeGreaterThanOrEqual(own + more);
  } finally {
    child.stdin.end();
    await once(child, 'exit');
  }
  expect(peakBytes(2 ** 30)).toBeNull();
});
