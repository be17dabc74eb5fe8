import { expect, test } from 'vitest';
import { OutputLengths } from '../../../scheduler/prediction/output-lengths.js';

function learned(outputs: readonly (readonly [tokens: number, maxTokens: number])[]) {
  const lengths = new OutputLengths();
  for (const [tokens, maxTokens] of outputs) lengths.add(tokens, maxTokens);
  return lengths;
}

const times = <Value>(count: number, value: Value): Value[] =>
  Array.from({ length: count }, () => value);

test('outputs that all reach their limit: what is left of it', () => {
  const lengths = learned(times(20, [128, 128] as const));
  expect(lengths.remaining(0, 128)).toBeCloseTo(128);
  expect(lengths.remaining(100, 128)).toBeCloseTo(28);
  expect(lengths.remaining(128, 128)).toBe(0);
});

test('limits that differ are told apart: short ones say only that outputs are at least so long', () => {
  const lengths = learned([...times(20, [16, 16] as const), ...times(20, [1000, 1000] as const)]);
  expect(lengths.remaining(0, 16)).toBeCloseTo(16);
  expect(lengths.remaining(0, 1000)).toBeCloseTo(1000);
  expect(lengths.remaining(600, 1000)).toBeCloseTo(400);
});

test('outputs that the model ends: the mean of those that become longer, whatever the limit', () => {
  const lengths = learned([...times(10, [10, 4096] as const), ...times(10, [50, 4096] as const)]);
  expect(lengths.remaining(0, 4096)).toBeCloseTo(30);
  expect(lengths.remaining(10, 4096)).toBeCloseTo(40);
  expect(lengths.remaining(20, 4096)).toBeCloseTo(30);
  expect(lengths.remaining(20, 25)).toBeCloseTo(5);
});

test('an output that is longer than all before it may last as long again', () => {
  const lengths = learned(times(10, [50, 4096] as const));
  expect(lengths.remaining(80, 4096)).toBe(80);
  expect(lengths.remaining(80, 100)).toBe(20);
});

test('forgets what has ended long ago', () => {
  const lengths = learned([
    ...times(300, [1000, 4096] as const),
    ...times(256, [10, 4096] as const),
  ]);
  expect(lengths.remaining(0, 4096)).toBeCloseTo(10);
});
