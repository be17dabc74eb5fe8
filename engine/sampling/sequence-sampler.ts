import type { TokenId } from '../../scheduler/ids.js';
import type { Candidates } from './candidates.js';
import { editedCandidates, editedTotal } from './edited-candidates.js';
import { applyMask, banTokens } from './masks.js';
import { applyLogitBias, applyPenalties, hasPenalties } from './penalties.js';
import { uniform } from './random.js';
import { editedRowNeeds, FULL_ROW, type RowNeeds, rowNeeds } from './row-needs.js';
import type { Sampler } from './sampler.js';
import type { SamplingParams } from './sampling-params.js';
import { ThinkingBudget, type ThinkingLimit } from './thinking-budget.js';
import { TokenBans } from './token-bans.js';
import type { TokenConstraint } from './token-constraint.js';

/**
 * Lower temperatures count as 0, because the quotients would overflow float32. (vLLM uses the same
 * bound.)
 */
const LEAST_TEMPERATURE = 1e-5;

export interface SequenceSamplerOptions {
  readonly params: SamplingParams;
  readonly promptTokenIds: readonly TokenId[];
  readonly stopTokenIds: readonly TokenId[];
  /** Stop tokens are masked until this many tokens have been generated. */
  readonly minTokens: number;
  /** How long it may think; absent: any time. */
  readonly thinking?: ThinkingLimit | undefined;
  /** The sampler owns and disposes it. */
  readonly constraint: TokenConstraint | null;
}

/** The results for one row of the model's logits. */
export interface RowLogits {
  readonly candidates: Candidates;
  /** See `chooseRank`; null when it was not asked for. */
  readonly total: number | null;
  /** `[vocabSize]`, read only; null when the candidates are enough. */
  readonly row: Float32Array | null;
}

/**
 * Chooses the tokens of one sequence by its parameters and its own tokens so far. It depends on
 * nothing else, so neither the batch nor a preemption nor its siblings change its choices.
 */
export class SequenceSampler {
  readonly params: SamplingParams;
  readonly #stopTokenIds: readonly TokenId[];
  readonly #minTokens: number;
  readonly #constraint: TokenConstraint | null;
  /** Null when the request forbids nothing. */
  #bans: TokenBans | null;
  /** Null: it may think as long as it will. */
  #thinking: ThinkingBudget | null;
  /** Kept only when there are penalties. */
  readonly #history: { readonly prompt: Set<number>; readonly output: Map<number, number> } | null;
  /** Tokens whose logits are edited, not counting the mask. */
  readonly #touched: Set<number>;
  /** Index of the next token; together with the seed, it determines the random number. */
  #generated = 0;
  /** The last random number and the token it was drawn for, because a step uses it twice. */
  #drawn = 0;
  #drawnFor = -1;

  constructor(options: SequenceSamplerOptions) {
    const { params } = options;
    const { temperature } = params;
    this.params = temperature < LEAST_TEMPERATURE ? { ...params, temperature: 0 } : params;
    this.#stopTokenIds = options.stopTokenIds;
    this.#minTokens = options.minTokens;
    this.#constraint = options.constraint;
    const forbids = params.allowedTokenIds !== undefined || params.bannedWords !== undefined;
    this.#bans = forbids ? new TokenBans(params) : null;
    this.#thinking = options.thinking ? new ThinkingBudget(options.thinking) : null;
    const prompt = params.repetitionPenalty === 1 ? [] : options.promptTokenIds;
    this.#history = hasPenalties(params) ? { prompt: new Set(prompt), output: new Map() } : null;
    this.#touched = new Set([
      ...params.logitBias.map(([token]) => token),
      ...prompt,
      ...(this.#bans?.lastTokens ?? []),
      ...(options.minTokens > 0 ? options.stopTokenIds : []),
    ]);
  }

  /** Whether `choose` returns at once; see `TokenConstraint.isReady`. */
  isReady(patience = 0): boolean {
    return this.#constraint?.isReady(patience) ?? true;
  }

  /** See `TokenConstraint.whenReady`. */
  whenReady(): Promise<void> {
    return this.#constraint?.whenReady() ?? Promise.resolve();
  }

  isStop(token: TokenId): boolean {
    return this.#stopTokenIds.includes(token);
  }

  /**
   * What a choice needs from its row.
   *
   * @param ahead number of tokens that will be accepted before it
   */
  needs(ahead = 0): RowNeeds {
    const needs = this.#needs(ahead);
    // Log-probabilities are asked for a forced token, too, which may have any rank.
    return this.#thinking?.mayForce(ahead) === true ? { ...needs, fullRow: true } : needs;
  }

  #needs(ahead: number): RowNeeds {
    if (!this.#editsLogits(ahead)) return rowNeeds(this.params, this.#draw(ahead));
    const isNarrow = this.#constraint !== null || this.#bans?.isNarrow === true;
    return isNarrow ? FULL_ROW : editedRowNeeds(this.params);
  }

  /**
   * Chooses the next token from the model's logits. Changes no state: the same call returns the
   * same token until one is accepted.
   *
   * @param logits the results that `needs` asked for
   * @param edited memory for another row
   */
  choose(sampler: Sampler, logits: RowLogits, edited: Float32Array): TokenId {
    const forced = this.#forced();
    if (forced !== null) return forced;
    return this.#editsLogits(0)
      ? this.#chooseEdited(sampler, logits, edited)
      : this.#choose(sampler, logits);
  }

  /** Appends this token to the sequence. */
  accept(token: TokenId): void {
    this.#generated += 1;
    this.#constraint?.accept(token);
    this.#bans?.accept(token);
    this.#thinking?.accept(token);
    if (this.#history) {
      this.#history.output.set(token, (this.#history.output.get(token) ?? 0) + 1);
      this.#touched.add(token);
    }
  }

  /**
   * A sampler of a sequence that continues this one, in the same state.
   *
   * @throws Error under a constraint, whose state cannot be copied
   */
  fork(): SequenceSampler {
    if (this.#constraint) throw new Error('a sequence under a constraint cannot fork');
    const fork = new SequenceSampler({
      params: this.params,
      promptTokenIds: [...(this.#history?.prompt ?? [])] as TokenId[],
      stopTokenIds: this.#stopTokenIds,
      minTokens: this.#minTokens,
      constraint: null,
    });
    fork.#generated = this.#generated;
    fork.#thinking = this.#thinking?.fork() ?? null;
    fork.#bans = this.#bans?.fork(this.params) ?? null;
    for (const token of this.#touched) fork.#touched.add(token);
    for (const [token, count] of this.#history?.output ?? [])
      fork.#history?.output.set(token, count);
    return fork;
  }

  /** Call once, when the sequence has ended. */
  dispose(): void {
    this.#constraint?.dispose();
  }

  /**
   * The token that ends reasoning whose budget is spent. Under a constraint it waits until it may
   * come: not between two parts of a character, for instance.
   */
  #forced(): TokenId | null {
    const token = this.#thinking?.forced() ?? null;
    if (token === null || this.#constraint === null) return token;
    const mask = this.#constraint.mask();
    return mask === null || ((mask[token >>> 5] >>> (token & 31)) & 1) === 1 ? token : null;
  }

  /** Greedy choices do not read it. */
  #draw(ahead: number): number {
    if (this.params.temperature === 0) return 0;
    const index = this.#generated + ahead;
    if (index !== this.#drawnFor) {
      this.#drawn = uniform(this.params.seed, index);
      this.#drawnFor = index;
    }
    return this.#drawn;
  }

  /** Whether the model's logits are edited before the choice. */
  #editsLogits(ahead: number): boolean {
    return (
      this.#history !== null ||
      this.#constraint !== null ||
      this.#bans !== null ||
      this.params.logitBias.length > 0 ||
      this.#bansStopTokens(ahead)
    );
  }

  #bansStopTokens(ahead: number): boolean {
    return this.#generated + ahead < this.#minTokens && this.#stopTokenIds.length > 0;
  }

  #choose(sampler: Sampler, { candidates, total, row }: RowLogits): TokenId {
    const token = sampler.fromCandidates(
      candidates,
      this.params,
      this.#draw(0),
      total ?? Number.NaN,
    );
    if (token !== null) return token;
    if (!row) throw new Error('a choice needs its whole row of logits, which is not here');
    return sampler.fromRow(row, this.params, this.#draw(0), total ?? Number.NaN);
  }

  #chooseEdited(sampler: Sampler, logits: RowLogits, edited: Float32Array): TokenId {
    const { row } = logits;
    if (!row) throw new Error('logits are edited, but the whole row is not here');
    const mask = this.#constraint?.mask();
    edited.set(row);
    applyLogitBias(edited, this.params.logitBias);
    if (this.#history) applyPenalties(edited, this.#history, this.params);
    if (mask) applyMask(edited, mask);
    this.#bans?.apply(edited);
    if (this.#bansStopTokens(0)) banTokens(edited, this.#stopTokenIds);
    // A mask may change most of the row; the other edits change a few tokens.
    if (mask || this.#bans?.isNarrow === true)
      return sampler.fromRow(edited, this.params, this.#draw(0));
    return this.#chooseTouched(sampler, logits, row, edited);
  }

  #chooseTouched(
    sampler: Sampler,
    { candidates: head, total: before }: RowLogits,
    row: Float32Array,
    edited: Float32Array,
  ): TokenId {
    const touched = this.#touched;
    const candidates = editedCandidates(head, row, edited, touched);
    if (candidates.count === 0) return sampler.fromRow(edited, this.params, this.#draw(0));
    const [first, largest] = [head.logits[0], candidates.logits[0]];
    const total =
      before === null
        ? Number.NaN
        : editedTotal(before, this.params.temperature, row, edited, touched, first, largest);
    const token = sampler.fromCandidates(candidates, this.params, this.#draw(0), total);
    return token ?? sampler.fromRow(edited, this.params, this.#draw(0), total);
  }
}
