import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EngineCore } from '../../engine/core/engine-core.js';
import type { ModelRunner } from '../../engine/core/model-runner.js';
import type { LogitsQuery, LogitsResult } from '../../engine/decoding/logits-query.js';
import type { EngineRequest } from '../../engine/protocol/request.js';
import { Sampler } from '../../engine/sampling/sampler.js';
import { GREEDY, type SamplingParams } from '../../engine/sampling/sampling-params.js';
import { SequenceSampler } from '../../engine/sampling/sequence-sampler.js';
import type { LoadedEngine } from '../../engine/thread/load-engine.js';
import type { SequenceId, TokenId } from '../../scheduler/ids.js';
import type { StepPlan } from '../../scheduler/step-plan.js';
import { wholeRow } from '../support/logits-result.js';
import { goldenPrompts, loadTiny, runAll, tinyRequest, tokensOf } from '../support/octavo-tiny.js';

const STYLES: readonly Partial<SamplingParams>[] = [
  {},
  { temperature: 1 },
  { temperature: 3 },
  { temperature: 1, topP: 0.95 },
  { temperature: 2.5, topP: 0.99 },
  { temperature: 1.5, topK: 40 },
  { temperature: 3, topK: 400 },
  { temperature: 2, minP: 0.05 },
  { temperature: 4, minP: 0.01, topP: 0.9 },
  { temperature: 2, typicalP: 0.9 },
  { temperature: 0.05 },
  { temperature: 1, repetitionPenalty: 1.2, frequencyPenalty: 0.3 },
  { logitBias: [[300 as TokenId, 5]], presencePenalty: 1 },
];

const requests: readonly EngineRequest[] = STYLES.flatMap((style, i) => {
  const prompt = goldenPrompts()[i];
  const sampling = { ...GREEDY, ...style, seed: 1000 * i };
  return [
    tinyRequest([`${i}.a`, `${i}.b`], prompt, { sampling, maxTokens: 12 }),
    tinyRequest(`${i}.c`, prompt, { sampling, maxTokens: 12, minTokens: 5, logprobs: 3 }),
  ];
});

/** Passes steps on, and remembers every row, whole, that a sequence was sampled from. */
class WholeRows implements ModelRunner {
  readonly canCopyBlocks = true;
  readonly rows = new Map<SequenceId, Float32Array[]>();
  /** Sampled rows that the core had asked for, and those that came out whole for it. */
  asked = 0;
  whole = 0;
  readonly #runner: ModelRunner;
  readonly #vocabSize: number;

  constructor(runner: ModelRunner, vocabSize: number) {
    this.#runner = runner;
    this.#vocabSize = vocabSize;
  }

  get timings() {
    return this.#runner.timings;
  }

  async execute(plan: StepPlan, query: LogitsQuery): Promise<LogitsResult> {
    const answer = await this.#runner.execute(plan, query);
    this.asked += query.logitRows.length;
    this.whole += answer.fullRows.length;
    // The same step once more: K and V are written where they are already.
    const all = query.logitRows.map((_, s) => s);
    const { fullLogits } = await this.#runner.execute(
      { ...plan, blockCopies: [] },
      {
        ...query,
        fullRows: all,
        softmaxSums: { rows: [], temperatures: [], coverMasses: [], cutoffRatios: [] },
      },
    );
    const sampled = plan.sequences.filter(({ sampledFor }) => sampledFor.length > 0);
    sampled.forEach(({ sampledFor }, s) => {
      const row = fullLogits.slice(s * this.#vocabSize, (s + 1) * this.#vocabSize);
      for (const id of sampledFor) this.rows.set(id, [...(this.rows.get(id) ?? []), row]);
    });
    return answer;
  }

  dispose(): Promise<void> {
    return Promise.resolve();
  }
}

describe('choices from the head of a ranking and from whole rows', () => {
  let engine: LoadedEngine;
  beforeAll(async () => {
    engine = await loadTiny();
  });
  afterAll(() => engine.runner.dispose());

  it('are the same', async () => {
    const { scheduler, cache, runner, info } = engine;
    const spy = new WholeRows(runner, info.vocabSize);
    const core = new EngineCore({
      scheduler,
      cache,
      runner: spy,
      vocabSize: info.vocabSize,
      now: () => 0,
    });
    const outputs = await runAll({ core }, requests);
    // Both ways were taken.
    expect(spy.whole).toBeGreaterThan(60);
    expect(spy.asked - spy.whole).toBeGreaterThan(60);
    const sampler = new Sampler();
    const edited = new Float32Array(info.vocabSize);
    for (const request of requests) {
      request.ids.forEach((id, i) => {
        const params = { ...request.sampling, seed: request.sampling.seed + i };
        const sequence = new SequenceSampler({ ...request, params, constraint: null });
        const rows = spy.rows.get(id) ?? [];
        const expected = rows.map((row) => {
          const token = sequence.choose(sampler, wholeRow(row), edited);
          sequence.accept(token);
          return token;
        });
        expect(tokensOf(outputs.get(id))).toEqual(expected);
      });
    }
  });

  it('greedy steps copy no row out', async () => {
    const { scheduler, cache, runner, info } = engine;
    const spy = new WholeRows(runner, info.vocabSize);
    const core = new EngineCore({
      scheduler,
      cache,
      runner: spy,
      vocabSize: info.vocabSize,
      now: () => 0,
    });
    await runAll(
      { core },
      goldenPrompts()
        .slice(0, 8)
        .map((prompt, i) => tinyRequest(`g${i}`, prompt)),
    );
    expect(spy.asked).toBeGreaterThan(50);
    expect(spy.whole).toBe(0);
  });
});
