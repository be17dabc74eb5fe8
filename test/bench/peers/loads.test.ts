import { describe, expect, test } from 'vitest';
import { LOADS, type LoadRecipe, makeLoad, valueOf } from '../../../bench/peers/loads.js';
import { checkOutcome, type Load, type TurnResult } from '../../../bench/peers/protocol.js';
import { bestOfFamilies, footprintRows, Results, ratioRows } from '../../../bench/peers/tables.js';
import { GGUF_TARGETS, TARGETS } from '../../../bench/peers/targets.js';
import { VARIANTS } from '../../../bench/peers/variants.js';

const RECIPE: LoadRecipe = {
  name: 'test',
  core: true,
  concurrency: 2,
  conversations: 2,
  prefix: 4,
  prompts: [3, 2],
  maxTokens: 8,
  metrics: ['ttft'],
};

test('prompts: a common prefix, turns that hold all before, other ones for another seed', () => {
  const load = makeLoad(RECIPE, 1000, 1, 2);
  const [a, b] = load.conversations;
  expect(a.map(({ prompt }) => prompt.length)).toEqual([7, 7 + 8 + 2]);
  expect(b[0].prompt.slice(0, 4)).toEqual(a[0].prompt.slice(0, 4));
  expect(b[0].prompt.slice(4)).not.toEqual(a[0].prompt.slice(4));
  expect(a[1].prompt.slice(0, 7)).toEqual(a[0].prompt);
  expect(makeLoad(RECIPE, 1000, 1, 2)).toEqual(load);
  expect(makeLoad(RECIPE, 1000, 2, 2)).not.toEqual(load);
});

/** Tokens every `step` ms from `first` on. */
const turn = (conversation: number, first: number, step: number, more = {}): TurnResult => {
  const outputMs = Array.from({ length: 8 }, (_, i) => first + i * step);
  const endMs = first + 7 * step;
  return { conversation, turn: 0, dueMs: 0, outputMs, endMs, tokens: 8, ...more };
};

const load: Load = {
  name: 'x',
  concurrency: 2,
  conversations: [0, 1].map(() => [{ prompt: [1, 2, 3, 4], maxTokens: 8 }]),
  sequences: 2,
};

describe('metrics', () => {
  test('decode: only while all decode', () => {
    // One decodes from 10 to 80, the other from 30 to 100: from 30 to 80 each gives 5 tokens.
    const turns = [turn(0, 10, 10), turn(1, 30, 10)];
    expect(valueOf('decode', load, { turns, serial: false })).toBeCloseTo(200);
  });

  test('decode: requests that hardly met give no figure', () => {
    const turns = [turn(0, 10, 10), turn(1, 70, 10)];
    expect(valueOf('decode', load, { turns, serial: false })).toBeNull();
  });

  test('decode, one at a time: without the prompts', () => {
    const turns = [turn(0, 1000, 10), turn(1, 3000, 10)];
    expect(valueOf('decode', load, { turns, serial: true })).toBeCloseTo(100);
  });

  test('prefill and time to first token count from when the client wanted to begin', () => {
    const turns = [turn(0, 50, 1, { dueMs: 10 }), turn(1, 30, 1, { dueMs: 10 })];
    expect(valueOf('ttft', load, { turns, serial: false })).toBe(30);
    expect(valueOf('prefill', load, { turns, serial: false })).toBeCloseTo((100 + 200) / 2);
    const later = [...turns, turn(0, 500, 1, { turn: 1, dueMs: 100 })];
    expect(valueOf('ttft', load, { turns: later, serial: false })).toBe(400);
  });
});

describe('a peer that did not really run', () => {
  const good = [turn(0, 10, 10), turn(1, 30, 10)];

  test.each([
    [[good[0]], /1 answers to 2 requests/],
    [[good[0], { ...good[1], tokens: 7 }], /7 tokens instead of 8/],
    [[good[0], { ...good[1], outputMs: [1] }], /1 outputs for 8 tokens/],
    [[good[0], { ...good[1], endMs: 5 }], /times in disorder/],
    [[good[0], turn(1, 0, 1)], /times in disorder/],
  ])('case %#', (turns, message) => {
    checkOutcome(load, { turns: good, serial: false });
    expect(() => checkOutcome(load, { turns, serial: false })).toThrow(message);
  });
});

test('ratios are of the best of each family, upside down for times', () => {
  const results = new Results();
  for (const [variant, value] of [
    ['octavo w8a8', 100],
    ['octavo q4', 50],
    ['octavo w8a8, HTTP', 60],
    ['openvino int8', 40],
    ['openvino int4', 20],
  ] as const) {
    for (const [load_, metric] of [
      ['8 x 512', 'decode'],
      ['32 clients, shared prefix of 1,024', 'ttft'],
    ] as const) {
      for (const factor of [0.9, 1, 1.3]) results.add(load_, metric, variant, value * factor);
    }
  }
  const rows = ratioRows(results, VARIANTS, TARGETS);
  const of = (title: string) => rows.filter(([name]) => `${name}`.startsWith(title));
  expect(of('decode, 8 clients')).toEqual([
    [
      'decode, 8 clients (tokens/s)',
      '100 (octavo w8a8)',
      'node-llama-cpp',
      'not run',
      '',
      '>= 2.2',
    ],
    [
      'decode, 8 clients (tokens/s)',
      '100 (octavo w8a8)',
      'OpenVINO',
      '40 (openvino int8)',
      '2.5',
      '>= 1.3: reached',
    ],
    [
      'decode, 8 clients (tokens/s)',
      '100 (octavo w8a8)',
      'OpenVINO, tuned',
      'not run',
      '',
      '>= 1.15',
    ],
    [
      'decode, 8 clients, HTTP (tokens/s)',
      '60 (octavo w8a8, HTTP)',
      'OpenVINO',
      '40 (openvino int8)',
      '1.5',
      '>= 1.1: reached',
    ],
    ['decode, 8 clients, HTTP (tokens/s)', '60 (octavo w8a8, HTTP)', 'vLLM', 'not run', '', ''],
    [
      'decode, 8 clients, HTTP (tokens/s)',
      '60 (octavo w8a8, HTTP)',
      "llama.cpp's server",
      'not run',
      '',
      '',
    ],
  ]);
  expect(of('time to first token')[1].slice(1)).toEqual([
    '60 (octavo w8a8, HTTP)',
    'OpenVINO',
    '20 (openvino int4)',
    '0.333',
    '>= 8: missed by 96 %',
  ]);
  expect(bestOfFamilies(results, VARIANTS, TARGETS).map(({ name }) => name)).toEqual([
    'octavo w8a8',
    'openvino int8',
    'octavo w8a8, HTTP',
    'openvino int4',
  ]);
  for (const { load: name, metric } of [...TARGETS, ...GGUF_TARGETS]) {
    expect(LOADS.find((recipe) => recipe.name === name)?.metrics).toContain(metric);
  }
});

test('footprints are medians over processes', () => {
  const own = [1000, 3000, 2000].map((readyMs) => ({ readyMs, peakBytes: 2e9 }));
  const footprints = new Map([['octavo w8a8', own]]);
  expect(footprintRows(footprints, VARIANTS)).toEqual([['octavo w8a8', 2, 2]]);
});
