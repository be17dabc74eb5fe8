import { describe, expect, it } from 'vitest';
import { fullRowsOf } from '../../engine/decoding/logits-query.js';
import type { SequenceId, TokenId } from '../../scheduler/ids.js';
import type { SequenceUpdate, StepPlan } from '../../scheduler/step-plan.js';
import { CoreHarness } from '../support/core-harness.js';
import { expectedText, nextToken } from '../support/paged-model.js';
import { range, rootOf } from '../support/sequences.js';

const VOCAB = 50;

describe('proposals', () => {
  /** Runs one request of 24 tokens whose every guess is right, or wrong. */
  async function run(isRight: boolean, most: number) {
    const prompt = range(0, 6);
    const h: CoreHarness = new CoreHarness({
      vocabSize: VOCAB,
      propose: (id, room) => {
        const context = [...prompt, ...(h.texts.get(id) ?? [])];
        return Array.from({ length: Math.min(most, room) }, () => {
          context.push((nextToken(context, VOCAB) + (isRight ? 0 : 1)) % VOCAB);
          return context[context.length - 1] as TokenId;
        });
      },
    });
    h.add('a', prompt, 24);
    await h.runToEnd();
    return {
      text: h.texts.get('a'),
      steps: h.model.steps,
      expected: expectedText(prompt, 24, VOCAB),
    };
  }

  it('that are right save steps', async () => {
    const { text, expected, steps } = await run(true, 5);
    expect(text).toEqual(expected);
    expect(steps).toHaveLength(4);
  });

  it('that are wrong cost rows, and change nothing', async () => {
    const { text, expected, steps } = await run(false, 5);
    expect(text).toEqual(expected);
    expect(steps).toHaveLength(24);
    expect(steps[3].sequences[0].numProposed).toBe(5);
  });

  it('are given up where blocks are missing', async () => {
    // Two prompts of two blocks; the fifth block goes to the first one's proposals.
    const propose = () => range(0, 4) as TokenId[];
    const h = new CoreHarness({ vocabSize: VOCAB, blockSize: 4, numBlocks: 5, propose });
    const prompts = [range(0, 7), range(20, 7)];
    for (const [i, prompt] of prompts.entries()) h.add(`${i}`, prompt, 6);
    await h.step();
    await h.step();
    const [, { sequences }] = h.model.steps;
    expect(sequences.map(({ numProposed }) => numProposed)).toEqual([4, 0]);
    await h.runToEnd();
    for (const [i, prompt] of prompts.entries()) {
      expect(h.texts.get(`${i}`)).toEqual(expectedText(prompt, 6, VOCAB));
    }
  });

  it('never reach beyond the end of the request', async () => {
    const { text, expected, steps } = await run(true, 100);
    expect(text).toEqual(expected);
    for (const { sequences, numTokens } of steps) {
      expect(numTokens).toBeLessThanOrEqual(32);
      expect(sequences[0].numComputed + sequences[0].tokenIds.length).toBeLessThan(6 + 24);
    }
  });

  it('end with a stop token among them', async () => {
    const prompt = range(0, 6);
    const text = expectedText(prompt, 24, VOCAB);
    const stop = text[4] as TokenId;
    const h = new CoreHarness({
      vocabSize: VOCAB,
      propose: (_, room) => text.slice(1, 1 + room) as TokenId[],
    });
    h.add('a', prompt, 24, { stopTokenIds: [stop] });
    await h.runToEnd();
    expect(h.texts.get('a')).toEqual(expectedText(prompt, 24, VOCAB, [stop]));
    expect(h.finished.get('a')?.finishReason).toBe('stop');
  });
});

describe('forks and drops', () => {
  /** Computes a plan, and says which token each of its sequences would be followed by. */
  async function execute(h: CoreHarness, plan: StepPlan): Promise<number[]> {
    const { fullLogits } = await h.model.execute(plan, fullRowsOf(plan));
    return plan.sequences.map((_, row) => {
      const logits = fullLogits.subarray(row * VOCAB, (row + 1) * VOCAB);
      return logits.indexOf(Math.max(...logits));
    });
  }

  const update = (id: string, tokens: readonly number[], more = {}): SequenceUpdate => ({
    id: id as SequenceId,
    tokenIds: tokens as readonly TokenId[],
    ...more,
  });

  it('let beams part, go on alone and be given up, each with its own context', async () => {
    const h = new CoreHarness({ vocabSize: VOCAB, blockSize: 4 });
    const prompt = range(0, 10);
    const { scheduler } = h;
    scheduler.add({
      ids: ['a' as SequenceId],
      promptTokenIds: prompt as TokenId[],
      maxTokens: 8,
      stopTokenIds: [],
      priority: 0,
      arrivalTime: 0,
      cacheSalt: null,
      computesWholePrompt: false,
    });
    const contexts: Record<string, number[]> = { a: [...prompt] };
    const step = async (updates: readonly SequenceUpdate[]): Promise<string[]> => {
      const plan = scheduler.schedule();
      if (!plan) throw new Error('nothing runs');
      const next = await execute(h, plan);
      plan.sequences.forEach(({ id }, i) => {
        expect(next[i]).toBe(nextToken(contexts[id], VOCAB));
      });
      for (const { id, tokenIds, forks = [], drop } of updates) {
        for (const fork of forks) contexts[fork.id] = [...contexts[id], ...fork.tokenIds];
        if (drop) delete contexts[id];
        else contexts[id].push(...tokenIds);
      }
      const outputs = scheduler.apply(plan, updates);
      scheduler.checkIntegrity();
      return outputs.map(({ id }) => id);
    };
    const fork = (id: string, token: number) => ({
      id: id as SequenceId,
      tokenIds: [token as TokenId],
    });
    expect(await step([update('a', [11], { forks: [fork('b', 22), fork('c', 33)] })])).toEqual([
      'a',
      'b',
      'c',
    ]);
    // 'b' is given up, and 'c' takes its place twice.
    expect(
      await step([
        update('a', [1]),
        update('b', [], { drop: true }),
        update('c', [2], { forks: [fork('d', 3)] }),
      ]),
    ).toEqual(['a', 'c', 'd']);
    expect(await step([update('a', [4]), update('c', [5]), update('d', [6])])).toHaveLength(3);
    expect(Object.keys(contexts)).toEqual(['a', 'c', 'd']);
    for (const id of Object.keys(contexts)) expect(scheduler.abort(id as SequenceId)).toBe(true);
    expect(h.cache.pool.numUsed).toBe(0);
    expect(scheduler.abort('b' as SequenceId)).toBe(false);
  });

  it('a sequence of the plan that is left out is an error, not a stall', async () => {
    const h = new CoreHarness({ vocabSize: VOCAB });
    h.add('a', range(0, 3), 4);
    const plan = h.scheduler.schedule();
    if (!plan) throw new Error('nothing runs');
    await execute(h, plan);
    expect(() => h.scheduler.apply(plan, [])).toThrow('1 sequences of the plan get tokens, 0 did');
  });

  it('a fork needs an id of its own: a live one is refused, whoever has it', async () => {
    const h = new CoreHarness({ vocabSize: VOCAB });
    h.add('a', range(0, 3), 4);
    h.add('b', range(0, 3), 4);
    const plan = h.scheduler.schedule();
    if (!plan) throw new Error('nothing runs');
    await execute(h, plan);
    const onto = update('a', [1], { forks: [{ id: 'b' as SequenceId, tokenIds: [2 as TokenId] }] });
    expect(() => h.scheduler.apply(plan, [onto, update('b', [1])])).toThrow('b is alive already');
  });

  it('a token for a sequence that is not here is an error', async () => {
    const h = new CoreHarness({ vocabSize: VOCAB });
    h.add('a', range(0, 3), 4);
    const plan = h.scheduler.schedule();
    if (!plan) throw new Error('nothing runs');
    expect(() => h.scheduler.apply(plan, [update('z', [1])])).toThrow(
      'the update of z is that of another',
    );
  });
});

describe('a sequence that is held', () => {
  it('is left out of the step, keeps place and blocks, and goes on in the next one', async () => {
    const h = new CoreHarness({ vocabSize: VOCAB });
    h.add('a', range(0, 6), 4);
    h.add('b', range(9, 6), 4);
    await h.step();
    const used = h.cache.pool.numUsed;
    const plan = h.scheduler.schedule(undefined, new Set(['a' as SequenceId]));
    expect(plan?.sequences.map(({ id }) => id)).toEqual(['b']);
    h.scheduler.apply(plan as StepPlan, [{ id: 'b' as SequenceId, tokenIds: [1 as TokenId] }]);
    h.scheduler.checkIntegrity();
    expect(h.cache.pool.numUsed).toBe(used);
    const next = h.scheduler.schedule();
    expect(next?.sequences.map(({ id }) => id)).toEqual(['a', 'b']);
  });

  it('does not decode; the others do once they have begun their output', async () => {
    const h = new CoreHarness({ vocabSize: VOCAB, maxNumBatchedTokens: 8 });
    h.add('a', range(0, 6), 4);
    expect(h.scheduler.decoding()).toEqual([]);
    h.add('b', range(9, 6), 4);
    h.add('c', range(20, 30), 4);
    await h.step();
    await h.step();
    // The prompt of c is not done.
    expect(h.scheduler.decoding()).toEqual(['a', 'b']);
    expect(h.scheduler.decoding(new Set(['a' as SequenceId]))).toEqual(['b']);
  });

  it('may be told of after its rows were computed: an update without tokens asks for them again', async () => {
    const h = new CoreHarness({ vocabSize: VOCAB });
    h.add('a', range(0, 6), 4);
    const plan = h.scheduler.schedule() as StepPlan;
    expect(h.scheduler.apply(plan, [{ id: 'a' as SequenceId, tokenIds: [] }])).toEqual([]);
    h.scheduler.checkIntegrity();
  });
});

describe('a plan', () => {
  it('is taken in once, and only the last one', () => {
    const h = new CoreHarness({ vocabSize: VOCAB });
    h.add('a', range(0, 6), 4);
    const plan = h.scheduler.schedule() as StepPlan;
    h.scheduler.apply(plan, [{ id: 'a' as SequenceId, tokenIds: [1 as TokenId] }]);
    const again = [{ id: 'a' as SequenceId, tokenIds: [2 as TokenId] }];
    expect(() => h.scheduler.apply(plan, again)).toThrow('the last plan has no a there');
  });
});

describe('a request for no tokens', () => {
  it('ends when its prompt is computed, for each of its ids, and counts as running until then', async () => {
    const h = new CoreHarness({ vocabSize: VOCAB, maxNumBatchedTokens: 4 });
    h.add(['a', 'b'], range(0, 6), 0);
    expect([h.scheduler.numRunning, h.scheduler.numWaiting]).toEqual([0, 1]);
    expect(await h.step()).toEqual([]);
    expect([h.scheduler.numRunning, h.scheduler.numWaiting]).toEqual([1, 0]);
    const outputs = await h.step();
    expect(outputs.map((o) => [o.id, o.tokenIds, o.finishReason])).toEqual([
      ['a', [], 'length'],
      ['b', [], 'length'],
    ]);
    expect(h.cache.pool.numUsed).toBe(0);
  });
});

describe('a prompt whose rows are all read', () => {
  it('is computed whole, though it is cached, and hits again after its first token', async () => {
    const h = new CoreHarness({ vocabSize: VOCAB });
    h.add('a', range(0, 12), 1);
    await h.runToEnd();
    h.add('b', range(0, 12), 3, { promptLogprobs: 0 });
    await h.step();
    expect(h.model.steps.at(-1)?.sequences[0]).toMatchObject({ numComputed: 0, numProposed: 0 });
    await h.runToEnd();
    expect(h.finished.get('b')?.cachedTokens).toBe(0);
    expect(h.texts.get('b')).toEqual(expectedText(range(0, 12), 3, VOCAB));
  });
});

describe('a sequence near its end', () => {
  it('is not asked for proposals that could not be accepted', async () => {
    const asked: number[] = [];
    const h = new CoreHarness({
      vocabSize: VOCAB,
      propose: (_, most) => {
        asked.push(most);
        return [];
      },
    });
    h.add('a', range(0, 6), 3);
    h.add(['b', 'c'], range(0, 6), 1);
    await h.runToEnd();
    // Of three tokens, the last is chosen without a guess; a request for one token is never asked.
    expect(asked).toEqual([2, 1]);
  });
});

describe('the integrity check', () => {
  it('notices blocks whose counts and tables differ, and tables that have lost their place', async () => {
    const h = new CoreHarness({ vocabSize: VOCAB });
    h.add('a', range(0, 6), 3);
    await h.step();
    expect(() => h.cache.checkIntegrity([])).toThrow('is in 0 tables, its count is 1');
    const sequence = h.cache.newSequence(rootOf());
    h.cache.reserve(sequence, 0, 4);
    sequence.numExpired[0] = 1;
    expect(() => h.cache.checkIntegrity([sequence])).toThrow('at 0, 1 expired');
  });
});
