import { expect, test } from 'vitest';
import type { OctavoError } from '../../../engine/errors.js';
import { OutputMemory } from '../../../server/limits/output-memory.js';

/** A stream's account, and what it was told. */
function stream(memory: OutputMemory) {
  const told: string[] = [];
  const account = memory.open({ end: (error: OctavoError) => told.push(error.kind) });
  account.stream({ pause: () => told.push('pause'), resume: () => told.push('resume') });
  return { account, told };
}

function whole(memory: OutputMemory) {
  const told: string[] = [];
  const account = memory.open({ end: (error: OctavoError) => told.push(error.kind) });
  return { account, told };
}

test('a stream pauses beyond its limit, is told again, and goes on when half is read', () => {
  const { account, told } = stream(new OutputMemory({ perStream: 100, total: 1000 }));
  account.add(100);
  expect(told).toEqual([]);
  account.add(1);
  account.add(9);
  expect(told).toEqual(['pause', 'pause']);
  account.release(59);
  expect(told).toHaveLength(2);
  account.release(1);
  account.release(50);
  expect(told).toEqual(['pause', 'pause', 'resume']);
});

test('streams that nobody reads share the memory, and one that reads goes on', () => {
  const memory = new OutputMemory({ perStream: 10_000, total: 10_000 });
  const stalled = Array.from({ length: 50 }, () => stream(memory));
  for (let round = 0; round < 100; round++) {
    for (const { account, told } of stalled) if (!told.includes('pause')) account.add(10);
  }
  expect(stalled.every(({ told }) => told.join() === 'pause')).toBe(true);
  expect(memory.used).toBeLessThanOrEqual(8000);
  const reader = stream(memory);
  for (let i = 0; i < 100; i++) {
    reader.account.add(10);
    reader.account.release(10);
  }
  expect(reader.told.filter((word) => word === 'resume')).toHaveLength(
    reader.told.filter((word) => word === 'pause').length,
  );
  for (const { account } of [...stalled, reader]) account.close();
  expect(memory.used).toBe(0);
});

test('an answer that must be whole ends at a quarter of the memory, and is let go at once', () => {
  const memory = new OutputMemory({ perStream: 100, total: 1000 });
  const { account, told } = whole(memory);
  account.add(250);
  account.release(250);
  expect([told, memory.used]).toEqual([[], 250]);
  account.add(1);
  account.add(500);
  expect([told, memory.used]).toEqual([['output_too_large'], 0]);
});

test('when all together take too much, the largest ends, and only that one', () => {
  const memory = new OutputMemory({ perStream: 100, total: 1000 });
  const answers = [250, 240, 245, 200].map((bytes) => {
    const answer = whole(memory);
    answer.account.add(bytes);
    return answer;
  });
  expect(answers.flatMap(({ told }) => told)).toEqual([]);
  stream(memory).account.add(66);
  expect(answers.map(({ told }) => told)).toEqual([['overloaded'], [], [], []]);
  expect(memory.used).toBe(240 + 245 + 200 + 66);
});

test('what is closed counts nothing any more', () => {
  const memory = new OutputMemory({ perStream: 100, total: 1000 });
  const { account, told } = stream(memory);
  account.add(70);
  account.keep(30);
  expect(memory.used).toBe(100);
  account.close();
  account.add(700);
  account.release(70);
  account.keep(700);
  account.close();
  expect([memory.used, told]).toEqual([0, []]);
});
