import type { SequenceId, TokenId } from '../../scheduler/ids.js';
import { PROPOSE_NOTHING, type Propose, type StepSoFar } from '../../scheduler/step-builder.js';
import type { Prepare, Proposer } from '../decoding/proposer.js';
import type { PredictedTokens } from '../protocol/outputs.js';
import type { SpeculationStats } from '../protocol/reports.js';
import type { EngineRequest } from '../protocol/request.js';
import type { TokenConstraint } from '../sampling/token-constraint.js';
import { AcceptanceRates } from './acceptance.js';
import { bestDraftLength } from './draft-length.js';
import type { DraftCandidate } from './draft-plan.js';
import { DraftPlanner } from './draft-planner.js';
import {
  type ComputedDrafter,
  type ComputingDrafter,
  type DraftedSequence,
  type Drafter,
  type SequenceDrafter,
} from './drafter.js';
import { samplerOf } from './drafting-sampler.js';
import { ForcedDrafter, ForcedPatience } from './forced-drafter.js';
import { PredictionDrafter } from './lookup-drafters.js';
import {
  type ComputedSource,
  type DraftSource,
  SequenceSpeculation,
} from './sequence-speculation.js';
import type { StepCosts } from './step-costs.js';

/** Drafts that the common acceptance rates remember, and those that a sequence's own do. */
const [COMMON_MEMORY, OWN_MEMORY] = [256, 24];
/** The same of drafts that are computed: fewer, because few are tried where they do not pay. */
const [COMPUTED_MEMORY, OWN_COMPUTED_MEMORY] = [64, 24];
/** Prompt tokens by which sequences are told apart that may draft from each other's outputs. */
const SHARED_HEAD = 16;
/** A prediction is found again by so many equal tokens. */
const PREDICTION_BOUNDS = { least: 3, longest: 32 };

export interface SpeculatorOptions {
  /** Drafts for all sequences; null: only for those with a prediction or a grammar of their own. */
  readonly drafter: Drafter | null;
  /** The same by computation, where the others have no draft; absent: nothing is computed. */
  readonly computing?: ComputingOptions;
  /** Maximum length of a draft. */
  readonly maxDraftTokens: number;
  readonly costs: StepCosts;
  /** Monotonic, milliseconds. */
  readonly now: () => number;
}

export interface ComputingOptions {
  readonly drafter: ComputingDrafter;
  /** Of its runs, in the unit of the other costs. */
  readonly costs: StepCosts;
}

/**
 * Speculative decoding (Leviathan et al. 2023, section 2) without a change of the text: drafted
 * tokens are computed with the step that decides the next token, and kept while they are what the
 * decoder chooses.
 *
 * How many tokens of a draft are computed depends on how often such drafts were right and on what a
 * larger step costs. Drafts that are not computed are compared with the text, too, so that a
 * sequence that stopped drafting begins again when it becomes predictable.
 */
export class Speculator implements Proposer {
  readonly prepare: Prepare | null;
  readonly #options: SpeculatorOptions;
  readonly #predictions = new PredictionDrafter(PREDICTION_BOUNDS);
  readonly #rates = new AcceptanceRates(COMMON_MEMORY);
  readonly #predictionRates = new AcceptanceRates(COMMON_MEMORY);
  readonly #patience: ForcedPatience;
  readonly #forcedRates = new AcceptanceRates(COMMON_MEMORY);
  readonly #computedRates = new AcceptanceRates(COMPUTED_MEMORY);
  readonly #sequences = new Map<SequenceId, SequenceSpeculation>();
  /** Proposed tokens of the step in the making that are expected to be right. */
  #expected = 0;
  #drafts = 0;
  #draftTokens = 0;
  readonly #acceptedAt: number[];

  constructor(options: SpeculatorOptions) {
    this.#options = options;
    this.#patience = new ForcedPatience(options.now);
    this.#acceptedAt = Array.from({ length: options.maxDraftTokens }, () => 0);
    const { computing, costs } = options;
    if (!computing) {
      this.prepare = null;
      return;
    }
    const { drafter } = computing;
    const planner = new DraftPlanner({ target: costs, draft: computing.costs });
    this.prepare = (decoding) => drafter.compute(this.#planDrafts(decoding, planner));
  }

  get propose(): Propose {
    return this.#sequences.size === 0 ? PROPOSE_NOTHING : this.#propose;
  }

  get stats(): SpeculationStats {
    return {
      drafts: this.#drafts,
      draftTokens: this.#draftTokens,
      acceptedAt: [...this.#acceptedAt],
    };
  }

  begin(id: SequenceId, request: EngineRequest, constraint: TokenConstraint | null = null): void {
    const { drafter, computing } = this.#options;
    const told = draftedSequence(id, request);
    const source = (of: SequenceDrafter, common: AcceptanceRates): DraftSource => {
      return { of, rates: new AcceptanceRates(OWN_MEMORY, common) };
    };
    const predicted = told.prediction
      ? source(this.#predictions.begin(told), this.#predictionRates)
      : null;
    const others: DraftSource[] = [
      ...(constraint
        ? [source(new ForcedDrafter(constraint, this.#patience), this.#forcedRates)]
        : []),
      ...(drafter ? [source(drafter.begin(told), this.#rates)] : []),
    ];
    const computed = computing
      ? {
          of: computing.drafter.begin(told),
          rates: new AcceptanceRates(OWN_COMPUTED_MEMORY, this.#computedRates),
        }
      : null;
    if (!predicted && !computed && others.length === 0) return;
    this.#sequences.set(id, new SequenceSpeculation(predicted, others, computed));
  }

  decided(
    id: SequenceId,
    proposals: readonly TokenId[],
    tokenIds: readonly TokenId[],
  ): PredictedTokens | null {
    const sequence = this.#sequences.get(id);
    if (!sequence || tokenIds.length === 0) return null;
    const accepted = Math.min(tokenIds.length - 1, proposals.length);
    if (proposals.length > 0) {
      this.#drafts += 1;
      this.#draftTokens += proposals.length;
      for (let depth = 0; depth < accepted; depth++) this.#acceptedAt[depth] += 1;
    }
    sequence.decided(tokenIds);
    if (!sequence.isPredicted || proposals.length === 0) return null;
    return { accepted, rejected: proposals.length - accepted };
  }

  endStep(): void {
    this.#expected = 0;
    this.#patience.endStep();
  }

  end(id: SequenceId): void {
    this.#sequences.get(id)?.end();
    this.#sequences.delete(id);
  }

  resetCache(): void {
    this.#options.computing?.drafter.resetCache();
  }

  checkIntegrity(): void {
    this.#options.computing?.drafter.checkIntegrity();
  }

  /** How long drafts are worth computing, of those that have no other. */
  #planDrafts(
    decoding: readonly SequenceId[],
    planner: DraftPlanner,
  ): ReadonlyMap<ComputedDrafter, number> {
    const lengths = new Map<ComputedDrafter, number>();
    const candidates: (DraftCandidate & ComputedSource)[] = [];
    for (const id of decoding) {
      const sequence = this.#sequences.get(id);
      if (!sequence?.computed) continue;
      const { of, rates } = sequence.computed;
      lengths.set(of, 0);
      if (sequence.hasFreeDraft) continue;
      const { room, behind, ready } = of;
      const most = Math.min(room, this.#options.maxDraftTokens);
      const rateAt = (depth: number): number => rates.rate('computed', depth);
      candidates.push({ of, rates, rateAt, most, room, behind, ready });
    }
    const load = { rows: decoding.length, decided: decoding.length };
    const planned = planner.plan(candidates, load);
    for (const [i, { of, rates }] of candidates.entries()) {
      lengths.set(of, planned[i]);
      if (planned[i] === 0) rates.fade();
    }
    return lengths;
  }

  readonly #propose: Propose = (id, most, { rows, sequences }: StepSoFar) => {
    const sequence = this.#sequences.get(id);
    if (!sequence) return [];
    const { maxDraftTokens, costs } = this.#options;
    const { tokenIds, rateAt, isPaid } = sequence.draft(maxDraftTokens);
    const load = { rows, decided: sequences + this.#expected };
    const { length, expected } = bestDraftLength(
      rateAt,
      Math.min(most, tokenIds.length),
      load,
      costs,
      ...(isPaid ? [1] : []),
    );
    this.#expected += expected;
    return tokenIds.slice(0, length);
  };
}

/** What drafters are told of a sequence. */
export function draftedSequence(id: SequenceId, request: EngineRequest): DraftedSequence {
  const { promptTokenIds, prediction, cacheSalt, maxTokens, images = [] } = request;
  const head = promptTokenIds.slice(0, SHARED_HEAD).join(' ');
  return {
    id,
    promptTokenIds,
    shareKey: JSON.stringify([cacheSalt, head]),
    cacheSalt,
    maxTokens,
    hasImages: images.length > 0,
    ...(prediction && { prediction }),
    createSampler: (vocabSize) => samplerOf(request, request.ids.indexOf(id), vocabSize),
  };
}
