import { describe, expect, test } from 'vitest';
import { LengthSampler, lengthsOf } from '../../../bench/serve/lengths.js';
import type { DatasetName, WorkloadOptions } from '../../../bench/serve/options.js';
import { RandomStream } from '../../../bench/serve/random-stream.js';
import { arrivalTimes } from '../../../bench/serve/schedule.js';
import { Workload } from '../../../bench/serve/workload.js';

const OPTIONS: WorkloadOptions = {
  dataset: 'fixed',
  inputLength: 6,
  outputLength: 3,
  lengthSpread: null,
  sharedPrefix: 0,
  prefixGroups: 1,
  turns: 1,
  promptFormat: 'ids',
  vocabSize: 50,
  seed: 3,
};

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

const draw = (dataset: DatasetName, which: 'input' | 'output', more = {}): number[] => {
  const options = { dataset, inputLength: null, outputLength: null, lengthSpread: null, ...more };
  const sampler = new LengthSampler(lengthsOf(options)[which]);
  return Array.from({ length: 20_000 }, (_, i) =>
    sampler.sample(new RandomStream(1, 'lengths', i)),
  );
};

describe('lengths', () => {
  test.each([
    ['sharegpt', 'input', 161],
    ['sharegpt', 'output', 338],
    ['alpaca', 'input', 19],
    ['alpaca', 'output', 58],
  ] as const)('%s: mean %s of %i tokens, within the limits', (dataset, which, expected) => {
    const lengths = draw(dataset, which);
    expect(Math.abs(mean(lengths) / expected - 1)).toBeLessThan(0.03);
    expect(Math.min(...lengths)).toBeGreaterThanOrEqual(4);
    expect(Math.max(...lengths)).toBeLessThanOrEqual(1024);
    expect(new Set(lengths).size).toBeGreaterThan(30);
  });

  test('another mean and spread; fixed lengths are exact', () => {
    const lengths = draw('alpaca', 'input', { inputLength: 2000, lengthSpread: 0.1 });
    expect(Math.abs(mean(lengths) / 2000 - 1)).toBeLessThan(0.01);
    expect(Math.max(...lengths)).toBeLessThan(3500);
    expect(new Set(draw('fixed', 'output', { outputLength: 77 }))).toEqual(new Set([77]));
  });
});

describe('arrivals', () => {
  const take = (kind: 'poisson' | 'fixed', seed: number, count: number): number[] => {
    const times = arrivalTimes({ kind, perSecond: 10 }, seed);
    return Array.from({ length: count }, () => times.next().value);
  };

  test('fixed: evenly spaced from the start', () => {
    expect(take('fixed', 1, 4)).toEqual([0, 100, 200, 300]);
  });

  test('Poisson: the rate, and gaps as spread as their mean; the seed decides', () => {
    const times = take('poisson', 1, 20_000);
    const gaps = times.slice(1).map((time, i) => time - times[i]);
    expect(Math.abs(mean(gaps) / 100 - 1)).toBeLessThan(0.03);
    const deviation = Math.sqrt(mean(gaps.map((gap) => (gap - 100) ** 2)));
    expect(Math.abs(deviation / 100 - 1)).toBeLessThan(0.05);
    expect(take('poisson', 1, 5)).toEqual(times.slice(0, 5));
    expect(take('poisson', 2, 5)).not.toEqual(times.slice(0, 5));
  });
});

describe('conversations', () => {
  test('ids: exact lengths, the same for the same seed, no two alike', () => {
    const workload = new Workload(OPTIONS, false);
    const [first, second] = [0, 1].map((index) => workload.conversation(index).prompt([]));
    if (first.kind !== 'ids') throw new Error('ids expected');
    expect(first.ids).toHaveLength(6);
    expect(first.ids.every((id) => id >= 10 && id < 50)).toBe(true);
    expect(second).not.toEqual(first);
    expect(new Workload(OPTIONS, false).conversation(0).prompt([])).toEqual(first);
    const other = new Workload({ ...OPTIONS, seed: 4 }, false);
    expect(other.conversation(0).prompt([])).not.toEqual(first);
    expect(workload.conversation(0).outputTokens).toEqual([3]);
  });

  test('a shared prefix is shared within its group only', () => {
    const workload = new Workload({ ...OPTIONS, sharedPrefix: 8, prefixGroups: 2 }, false);
    const prompts = [0, 1, 2].map((index) => {
      const prompt = workload.conversation(index).prompt([]);
      return prompt.kind === 'ids' ? prompt.ids : [];
    });
    expect(prompts[0]).toHaveLength(14);
    expect(prompts[2].slice(0, 8)).toEqual(prompts[0].slice(0, 8));
    expect(prompts[1].slice(0, 8)).not.toEqual(prompts[0].slice(0, 8));
    expect(prompts[2].slice(8)).not.toEqual(prompts[0].slice(8));
  });

  test('each turn of a chat sends all that came before', () => {
    const options = { ...OPTIONS, turns: 2, promptFormat: 'text', sharedPrefix: 4 } as const;
    const conversation = new Workload(options, true).conversation(0);
    const first = conversation.prompt([]);
    const second = conversation.prompt(['Yes.']);
    if (first.kind !== 'messages' || second.kind !== 'messages') throw new Error('messages');
    expect(first.messages.map(({ role }) => role)).toEqual(['system', 'user']);
    expect(second.messages.slice(0, 2)).toEqual(first.messages);
    expect(second.messages[2]).toEqual({ role: 'assistant', content: 'Yes.' });
    expect(second.messages[3].content.split(' ')).toHaveLength(6);
  });

  test('each turn of a text begins with the one before and its answer', () => {
    const options = { ...OPTIONS, turns: 2, promptFormat: 'text' } as const;
    const conversation = new Workload(options, false).conversation(0);
    const [first, second] = [conversation.prompt([]), conversation.prompt([' Yes.'])];
    if (first.kind !== 'text' || second.kind !== 'text') throw new Error('text');
    expect(second.text.startsWith(`${first.text} Yes. `)).toBe(true);
  });
});
