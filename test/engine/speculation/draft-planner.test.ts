import { describe, expect, it } from 'vitest';
import { PLAIN_REQUEST } from '../../../engine/protocol/request.js';
import { GREEDY } from '../../../engine/sampling/sampling-params.js';
import { planDrafts } from '../../../engine/speculation/draft-plan.js';
import { Speculator } from '../../../engine/speculation/speculator.js';
import { StepCosts } from '../../../engine/speculation/step-costs.js';
import type { SequenceId } from '../../../scheduler/ids.js';
import { RIGHT, SimulatedDrafter } from '../../support/simulated-drafter.js';

/** Milliseconds of steps as on two cores, and of those of a model that is so many times smaller. */
const costsOf = (share: number): StepCosts =>
  new StepCosts([
    { rows: 1, ms: 14 * share },
    { rows: 8, ms: 26 * share },
    { rows: 64, ms: 115 * share },
  ]);
const TARGET = costsOf(1);
const PROMPT = 64;

interface Load {
  readonly batch: number;
  /** Cost of the draft model, as a share of the other's. */
  readonly share: number;
  readonly tokens: number;
  /** Probability that a drafted token is right, by the sequence's length. */
  readonly rateAt: (length: number) => number;
}

/** @returns milliseconds for the texts of a whole batch with drafts, as a share of those without */
async function simulate({ batch, share, tokens, rateAt }: Load): Promise<number> {
  const drafter = new SimulatedDrafter(0, costsOf(share));
  const speculator = new Speculator({
    drafter: null,
    computing: { drafter, costs: costsOf(share) },
    maxDraftTokens: 8,
    costs: TARGET,
    now: () => 0,
  });
  const lengths = new Map<SequenceId, number>();
  for (let i = 0; i < batch; i++) {
    const id = `${i}` as SequenceId;
    const promptTokenIds = Array.from({ length: PROMPT }, () => RIGHT);
    const own = {
      ids: [id],
      promptTokenIds,
      maxTokens: tokens,
      stopTokenIds: [],
      sampling: GREEDY,
    };
    speculator.begin(id, { ...PLAIN_REQUEST, ...own });
    lengths.set(id, 0);
  }
  let [ms, plain] = [0, 0];
  while (lengths.size > 0) {
    const [first] = lengths.values();
    drafter.rate = rateAt(first ?? 0);
    await speculator.prepare?.([...lengths.keys()]);
    const { size } = lengths;
    let rows = size;
    let decided = 0;
    for (const [id, length] of lengths) {
      const proposed = speculator.propose(id, tokens - length - 1, { rows, sequences: size });
      rows += proposed.length;
      const wrong = proposed.findIndex((token) => token !== RIGHT);
      const accepted = wrong < 0 ? proposed.length : wrong;
      const text = Array.from({ length: accepted + 1 }, () => RIGHT);
      speculator.decided(id, proposed, text);
      decided += text.length;
      if (length + text.length < tokens) lengths.set(id, length + text.length);
      else {
        speculator.end(id);
        lengths.delete(id);
      }
    }
    speculator.endStep();
    ms += TARGET.of(rows);
    // What as many tokens take in steps of one token of each.
    plain += (decided / size) * TARGET.of(size);
  }
  return (ms + drafter.ms) / plain;
}

describe('drafts of a model', () => {
  it.each([0.03, 0.1, 0.3, 1])(
    'never cost much, however often they are right: a model of %f',
    async (share) => {
      for (const batch of [1, 2, 4, 8, 16, 32]) {
        for (const rate of [0, 0.3, 0.6, 0.8, 0.9, 1]) {
          const time = await simulate({ batch, share, tokens: 300, rateAt: () => rate });
          expect(time, `${batch} sequences, ${rate} are right`).toBeLessThan(1.02);
        }
      }
    },
  );

  it('are worth it where they are cheap and right, most of all alone', async () => {
    const right = { share: 0.05, tokens: 300, rateAt: () => 0.9 };
    expect(await simulate({ ...right, batch: 1 })).toBeLessThan(0.45);
    expect(await simulate({ ...right, batch: 8 })).toBeLessThan(0.8);
  });

  it('come back when the model becomes right', async () => {
    const turning = { batch: 4, share: 0.05, tokens: 1200 };
    const time = await simulate({ ...turning, rateAt: (length) => (length < 300 ? 0 : 1) });
    const never = await simulate({ ...turning, rateAt: () => 0 });
    expect(never).toBeLessThan(1.02);
    expect(time).toBeLessThan(0.8);
  });
});

describe('planned lengths', () => {
  const candidate = { rateAt: () => 0.8, most: 8, room: 100, behind: 0, ready: 0 };
  const load = (rows: number) => ({ rows, decided: rows });

  it('are longer where the drafts are surer', () => {
    const costs = { target: TARGET, draft: costsOf(0.05) };
    const [sure, unsure] = planDrafts(
      [
        { ...candidate, rateAt: () => 0.95 },
        { ...candidate, rateAt: () => 0.5 },
      ],
      load(2),
      costs,
    );
    expect(sure).toBeGreaterThan(2 * unsure);
    expect(planDrafts([{ ...candidate, most: 2 }], load(1), costs)).toEqual([2]);
    expect(planDrafts([{ ...candidate, most: 0 }], load(1), costs)).toEqual([0]);
    expect(planDrafts([], load(3), costs)).toEqual([]);
  });

  it('are 0 for all where a run costs more than it gives, unless the drafts are there', () => {
    const costs = { target: TARGET, draft: costsOf(1) };
    expect(planDrafts([candidate, candidate], load(2), costs)).toEqual([0, 0]);
    expect(planDrafts([{ ...candidate, ready: 3 }], load(1), costs)[0]).toBeGreaterThanOrEqual(3);
  });

  it('count what the drafter must read first', () => {
    const costs = { target: TARGET, draft: costsOf(0.1) };
    const [caughtUp] = planDrafts([candidate], load(1), costs);
    expect(caughtUp).toBeGreaterThan(0);
    expect(planDrafts([{ ...candidate, behind: 20_000 }], load(1), costs)).toEqual([0]);
    expect(planDrafts([{ ...candidate, behind: 2000, room: 10 }], load(1), costs)).toEqual([0]);
  });
});
