import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { EngineCore } from '../../engine/core/engine-core.js';
import { NO_PROPOSER, type Proposer } from '../../engine/decoding/proposer.js';
import { GRAMMAR_DEFAULTS, GrammarPool } from '../../engine/grammar/grammar-pool.js';
import type { GrammarSpec } from '../../engine/protocol/request.js';
import { GREEDY } from '../../engine/sampling/sampling-params.js';
import type { TokenConstraint } from '../../engine/sampling/token-constraint.js';
import { Speculator } from '../../engine/speculation/speculator.js';
import { StepCosts } from '../../engine/speculation/step-costs.js';
import type { LoadedEngine } from '../../engine/thread/load-engine.js';
import type { TokenId } from '../../scheduler/ids.js';
import { loadTiny, tinyRequest } from '../support/octavo-tiny.js';

const TINY = fileURLToPath(new URL('../../models/octavo-tiny', import.meta.url));
const VOCAB = 2048;
const EOS = [2 as TokenId];
/** Whatever is forced is computed. */
const FREE = new StepCosts([
  { rows: 1, ms: 1 },
  { rows: 1000, ms: 1 },
]);
const SAMPLINGS = [GREEDY, { ...GREEDY, temperature: 1, seed: 3, presencePenalty: 0.5 }];

const schema = (properties: object, more: object = {}): GrammarSpec => ({
  kind: 'json-schema',
  compact: true,
  source: JSON.stringify({
    type: 'object',
    properties,
    required: Object.keys(properties),
    additionalProperties: false,
    ...more,
  }),
});

const GRAMMARS: readonly GrammarSpec[] = [
  schema({
    customer_name: { type: 'string', maxLength: 8 },
    age_in_years: { type: 'integer', minimum: 0, maximum: 99 },
    distance: { enum: ['kilomètre', 'kilogramme'] },
    address: {
      type: 'object',
      properties: { is_default: { type: 'boolean' } },
      required: ['is_default'],
      additionalProperties: false,
    },
  }),
  { kind: 'regex', source: 'The answer is (yes|yesterday|no), and that is all there is\\.' },
];

let engine: LoadedEngine;
const pool = new GrammarPool({ ...GRAMMAR_DEFAULTS, modelDir: TINY, vocabSize: VOCAB });
beforeAll(async () => {
  engine = await loadTiny();
});
afterAll(async () => {
  await pool.close();
  await engine.runner.dispose();
});

/** Runs each grammar with each way of sampling, all at once. */
async function run(proposer: Proposer): Promise<{ texts: TokenId[][]; steps: number }> {
  const { scheduler, runner, cache } = engine;
  const now = (): number => performance.now();
  const core = new EngineCore({ scheduler, runner, vocabSize: VOCAB, cache, proposer, now });
  const outputs = new Map<string, TokenId[]>();
  const live = new Map<string, TokenConstraint>();
  for (const [g, spec] of GRAMMARS.entries()) {
    for (const [s, sampling] of SAMPLINGS.entries()) {
      const id = `${g}-${s}`;
      const more = { maxTokens: 90, stopTokenIds: EOS, eosTokenIds: EOS, sampling };
      const request = tinyRequest(id, [1, 40 + g, 50, 60] as TokenId[], more);
      const constraints = await pool.constrain(
        { spec, client: '', count: 1, stopTokenIds: EOS, eosTokenIds: EOS, isLongest: false },
        new AbortController().signal,
      );
      core.add(request, constraints);
      live.set(id, constraints[0]);
      outputs.set(id, []);
    }
  }
  while (core.hasWork) {
    // So that no draft is left out because threads are slow on a busy machine.
    for (const constraint of live.values()) await constraint.whenReady();
    for (const { id, tokenIds, finishReason } of (await core.step()) ?? []) {
      outputs.get(id)?.push(...tokenIds);
      if (finishReason !== null) live.delete(id);
    }
  }
  return { texts: [...outputs.values()], steps: core.stats.steps };
}

it('a text that the grammar forces takes fewer steps, and is the same', async () => {
  const plain = await run(NO_PROPOSER);
  const speculator = new Speculator({
    drafter: null,
    maxDraftTokens: 16,
    costs: FREE,
    now: () => performance.now(),
  });
  const drafted = await run(speculator);
  expect(plain.texts.every((text) => text.length > 5)).toBe(true);
  expect(drafted.texts).toEqual(plain.texts);
  expect(speculator.stats.acceptedAt[0]).toBeGreaterThan(10);
  expect(drafted.steps).toBeLessThan(0.8 * plain.steps);
});
