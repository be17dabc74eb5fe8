import { describe, expect, it } from 'vitest';
import { Sampler } from '../../../engine/sampling/sampler.js';
import { GREEDY, type SamplingParams } from '../../../engine/sampling/sampling-params.js';
import {
  SequenceSampler,
  type SequenceSamplerOptions,
} from '../../../engine/sampling/sequence-sampler.js';
import type { TokenConstraint } from '../../../engine/sampling/token-constraint.js';
import type { TokenId } from '../../../scheduler/ids.js';
import { chiSquare } from '../../support/chi-square.js';
import { type Context, exactDistribution } from '../../support/exact-distribution.js';
import { wholeRow } from '../../support/logits-result.js';

const LOGITS = Float32Array.from([1.5, -0.3, 0.8, 2.1, 0.8, -4, 0.1, 1.1, -1.2, 0.4]);
const ROW = wholeRow(LOGITS);
const PROMPT = [1, 3, 3, 8];
const OUTPUT = [3, 0, 0, 0, 5];
const NOTHING: Context = { prompt: [], output: [] };
const core = new Sampler();
const edited = new Float32Array(LOGITS.length);

const bias = (entries: Record<number, number>): SamplingParams['logitBias'] =>
  Object.entries(entries).map(([token, amount]) => [Number(token) as TokenId, amount] as const);

function sequence(
  params: Partial<SamplingParams>,
  more: Partial<SequenceSamplerOptions> = {},
  { prompt, output }: Context = NOTHING,
): SequenceSampler {
  const sampler = new SequenceSampler({
    params: { ...GREEDY, temperature: 1, ...params },
    promptTokenIds: prompt as TokenId[],
    stopTokenIds: [],
    minTokens: 0,
    constraint: null,
    ...more,
  });
  for (const token of output) sampler.accept(token as TokenId);
  return sampler;
}

/** Draws of the token after `context`, each with a seed of its own. */
const drawAfter =
  (params: Partial<SamplingParams>, context: Context, more: Partial<SequenceSamplerOptions> = {}) =>
  (seed: number): number =>
    sequence({ ...params, seed }, more, context).choose(core, ROW, edited);

describe('what a request forbids', () => {
  const most = (sampler: SequenceSampler): number => sampler.choose(core, ROW, edited);

  it('chooses allowed tokens only, whatever their rank', () => {
    const params = { allowedTokenIds: [5, 8] as TokenId[], temperature: 0 };
    const sampler = sequence(params);
    expect(sampler.needs()).toMatchObject({ fullRow: true });
    expect(most(sampler)).toBe(8);
    const draws = Array.from({ length: 200 }, (_, seed) =>
      most(sequence({ ...params, temperature: 2, seed })),
    );
    expect(new Set(draws)).toEqual(new Set([5, 8]));
  });

  it('does not complete a word, also in forks', () => {
    const params = { bannedWords: [[3], [0, 7, 2]] as TokenId[][], temperature: 0 };
    const sampler = sequence(params);
    expect(most(sampler)).toBe(0);
    const narrow = { ...params, allowedTokenIds: [2, 5] as TokenId[] };
    const begun = sequence(narrow, {}, { prompt: [], output: [9, 0, 7] });
    expect(most(begun)).toBe(5);
    expect(most(begun.fork())).toBe(5);
    begun.accept(1 as TokenId);
    expect(most(begun)).toBe(2);
    // What is left is chosen, though it is forbidden.
    expect(
      most(sequence({ bannedWords: [[4]] as TokenId[][], allowedTokenIds: [4] as TokenId[] })),
    ).toBe(4);
  });
});

/** Allows tokens by a rule, and remembers what was asked of it. */
class RuleConstraint implements TokenConstraint {
  readonly accepted: number[] = [];
  disposed = 0;
  readonly #allowed: (token: number) => boolean;

  constructor(allowed: (token: number) => boolean) {
    this.#allowed = allowed;
  }

  mask(): Int32Array {
    const mask = new Int32Array(Math.ceil(LOGITS.length / 32));
    LOGITS.forEach((_, t) => {
      if (this.#allowed(t)) mask[t >>> 5] |= 1 << (t & 31);
    });
    return mask;
  }

  forced(): readonly TokenId[] {
    return [];
  }

  accept(token: TokenId): void {
    this.accepted.push(token);
  }

  rollback(count: number): void {
    this.accepted.length -= count;
  }

  isReady(): boolean {
    return true;
  }

  whenReady(): Promise<void> {
    return Promise.resolve();
  }

  dispose(): void {
    this.disposed += 1;
  }
}

const CONTEXT: Context = { prompt: PROMPT, output: OUTPUT };
/** Parameters, and others that are only slightly different. */
const CASES: readonly [Partial<SamplingParams>, Partial<SamplingParams>][] = [
  [{ logitBias: bias({ 5: 6, 3: -1 }) }, { logitBias: bias({ 5: 6, 3: -0.8 }) }],
  [{ logitBias: bias({ 3: -100, 0: -100 }) }, { logitBias: bias({ 3: -100 }) }],
  [{ repetitionPenalty: 1.4 }, { repetitionPenalty: 1.25 }],
  [{ repetitionPenalty: 0.7 }, { repetitionPenalty: 0.8 }],
  [{ frequencyPenalty: 0.5 }, { presencePenalty: 0.5 }],
  [{ frequencyPenalty: -0.3 }, { frequencyPenalty: -0.25 }],
  [{ presencePenalty: 0.8 }, { presencePenalty: 0.6 }],
  [
    { repetitionPenalty: 1.2, frequencyPenalty: 0.2, presencePenalty: 0.4, topK: 6, topP: 0.9 },
    { repetitionPenalty: 1.2, frequencyPenalty: 0.2, topK: 6, topP: 0.9 },
  ],
  [
    { logitBias: bias({ 2: 1 }), repetitionPenalty: 1.3, temperature: 0.8, minP: 0.1 },
    { repetitionPenalty: 1.3, temperature: 0.8, minP: 0.1 },
  ],
];

describe('SequenceSampler', () => {
  it.each(CASES)('%o: the exact distribution', (right) => {
    const params = { ...GREEDY, temperature: 1, ...right };
    const exact = exactDistribution(LOGITS, params, CONTEXT);
    expect(chiSquare(drawAfter(right, CONTEXT), exact)).toBeLessThan(1);
  });

  it.each(CASES)('%o is told from %o', (right, wrong) => {
    const params = { ...GREEDY, temperature: 1, ...right };
    const exact = exactDistribution(LOGITS, params, CONTEXT);
    expect(chiSquare(drawAfter(wrong, CONTEXT), exact)).toBeGreaterThan(1);
  });

  it('the prompt counts for the repetition penalty alone', () => {
    const params = { ...GREEDY, temperature: 1, frequencyPenalty: 1, presencePenalty: 1 };
    const onlyPrompt: Context = { prompt: PROMPT, output: [] };
    const exact = exactDistribution(LOGITS, { ...GREEDY, temperature: 1 });
    expect(chiSquare(drawAfter(params, onlyPrompt), exact)).toBeLessThan(1);
    const repeated = { repetitionPenalty: 1.5 };
    expect(chiSquare(drawAfter(repeated, onlyPrompt), exact)).toBeGreaterThan(1);
  });

  it('a constraint leaves its tokens in their proportions', () => {
    const allowed = (token: number): boolean => token % 3 === 0;
    const more = { constraint: new RuleConstraint(allowed) };
    const params = { ...GREEDY, temperature: 1 };
    const exact = exactDistribution(LOGITS, params, { ...NOTHING, allowed });
    expect(chiSquare(drawAfter({}, NOTHING, more), exact)).toBeLessThan(1);
    const wide = { constraint: new RuleConstraint((t) => allowed(t) || t === 8) };
    expect(chiSquare(drawAfter({}, NOTHING, wide), exact)).toBeGreaterThan(1);
  });

  it('a constraint wins over any bias, and hears of each token', () => {
    const constraint = new RuleConstraint((token) => token === 8);
    const sampler = sequence({ logitBias: bias({ 3: 100, 8: -100 }) }, { constraint });
    for (let i = 0; i < 5; i++) {
      // A choice changes nothing until it is accepted.
      for (let again = 0; again < 2; again++) {
        expect(sampler.choose(core, ROW, edited)).toBe(8);
      }
      sampler.accept(8 as TokenId);
    }
    expect(constraint.accepted).toEqual([8, 8, 8, 8, 8]);
    sampler.dispose();
    expect(constraint.disposed).toBe(1);
  });

  it('stop tokens cannot come before minTokens tokens are there', () => {
    const more = { stopTokenIds: [3, 0] as TokenId[], minTokens: 2 };
    const allowed = (token: number): boolean => token !== 3 && token !== 0;
    const params = { ...GREEDY, temperature: 1 };
    for (const output of [[], [4]]) {
      const exact = exactDistribution(LOGITS, params, { ...NOTHING, allowed });
      expect(chiSquare(drawAfter({}, { prompt: [], output }, more), exact)).toBeLessThan(1);
    }
    const free = exactDistribution(LOGITS, params);
    const after = { prompt: [], output: [4, 4] };
    expect(chiSquare(drawAfter({}, after, more), free)).toBeLessThan(1);
  });

  it('a grammar at its end ends the text, however short', () => {
    const constraint = new RuleConstraint((token) => token === 7);
    const more = { constraint, stopTokenIds: [7] as TokenId[], minTokens: 9 };
    expect(sequence({}, more).choose(core, ROW, edited)).toBe(7);
  });

  it('leaves the row as it is', () => {
    const before = LOGITS.slice();
    const more = { constraint: new RuleConstraint((t) => t === 1), minTokens: 3 };
    sequence({ repetitionPenalty: 2, logitBias: bias({ 1: 4 }) }, more, CONTEXT).choose(
      core,
      ROW,
      edited,
    );
    expect(LOGITS).toEqual(before);
  });

  it('takes a temperature next to nothing for greedy', () => {
    for (let seed = 0; seed < 20; seed++) {
      expect(sequence({ temperature: 1e-300, seed }).choose(core, ROW, edited)).toBe(3);
    }
  });
});
