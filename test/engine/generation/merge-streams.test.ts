import { expect, test } from 'vitest';
import { mergeStreams } from '../../../engine/generation/merge-streams.js';
import { processorMs } from '../../support/processor-time.js';

async function* counting(count: number, onRead = (): void => undefined): AsyncGenerator<number> {
  for (let i = 0; i < count; i++) {
    await new Promise((resolve) => setImmediate(resolve));
    onRead();
    yield i;
  }
}

test('all values come, each stream in its order, and none starves', async () => {
  const seen: number[][] = Array.from({ length: 5 }, () => []);
  for await (const { index, value } of mergeStreams(
    Array.from({ length: 5 }, (_, i) => counting(10 + i)),
  )) {
    seen[index]?.push(value);
    const lengths = seen.map(({ length }) => length);
    if (Math.max(...lengths) < 10)
      expect(Math.max(...lengths) - Math.min(...lengths)).toBeLessThan(3);
  }
  expect(seen.map(({ length }) => length)).toEqual([10, 11, 12, 13, 14]);
  expect(seen.every((values) => values.every((value, i) => value === i))).toBe(true);
});

test('a slow reader holds all streams: one value of each is read ahead', async () => {
  let reads = 0;
  const streams = Array.from({ length: 3 }, () => counting(100, () => reads++));
  let taken = 0;
  for await (const _ of mergeStreams(streams)) {
    await new Promise((resolve) => setTimeout(resolve, 2));
    expect(reads).toBeLessThanOrEqual(++taken + 3);
    if (taken === 20) break;
  }
});

test('a failure ends it, also while another value is looked at', async () => {
  async function* failing(): AsyncGenerator<number> {
    yield 0;
    throw new Error('broken');
  }
  const read = async (): Promise<void> => {
    for await (const _ of mergeStreams([counting(1e6), failing()])) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  await expect(read()).rejects.toThrow('broken');
});

test('a value costs the same in a crowd of streams', async () => {
  const timed = (streams: number, values: number): Promise<number> =>
    processorMs(async () => {
      const all = Array.from({ length: streams }, () => counting(values));
      for await (const _ of mergeStreams(all));
    });
  await timed(50, 100);
  const few = await timed(20, 1000);
  // Quiet, as long; when each value was raced against all streams, fifty times.
  expect(await timed(2000, 10)).toBeLessThan(few * 8 + 200);
});
