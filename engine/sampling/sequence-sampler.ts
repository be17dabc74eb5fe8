import type { TokenId } from '../../scheduler/ids.js';
import { applyMask, banStopTokens } from './masks.js';
import { applyLogitBias, applyPenalties, hasPenalties } from './penalties.js';
import { uniform } from './random.js';
import type { Sampler } from './sampler.js';
import type { SamplingParams } from './sampling-params.js';
import type { TokenConstraint } from './token-constraint.js';

/** Below it, a temperature is taken for 0: the quotients would leave float32. (vLLM draws the line there too.) */
const LEAST_TEMPERATURE = 1e-5;

export interface SequenceSamplerOptions {
  readonly params: SamplingParams;
  readonly promptTokenIds: readonly TokenId[];
  readonly stopTokenIds: readonly TokenId[];
  /** Stop tokens are not chosen before so many tokens are there. */
  readonly minTokens: number;
  /** Owned from now on. */
  readonly constraint: TokenConstraint | null;
}

/**
 * One completion's way of choosing: its parameters, and what it remembers of its own tokens. It depends on nothing else, so neither
 * the batch nor a preemption nor its siblings change what it chooses.
 */
export class SequenceSampler {
  readonly params: SamplingParams;
  readonly #stopTokenIds: readonly TokenId[];
  readonly #minTokens: number;
  readonly #constraint: TokenConstraint | null;
  /** Only kept for penalties. */
  readonly #history: { readonly prompt: Set<number>; readonly output: Map<number, number> } | null;
  /** Index of the next token: with the seed it fixes the random number. */
  #generated = 0;

  constructor(options: SequenceSamplerOptions) {
    const { params } = options;
    const { temperature } = params;
    this.params = temperature < LEAST_TEMPERATURE ? { ...params, temperature: 0 } : params;
    this.#stopTokenIds = options.stopTokenIds;
    this.#minTokens = options.minTokens;
    this.#constraint = options.constraint;
    const prompt = params.repetitionPenalty === 1 ? [] : options.promptTokenIds;
    this.#history = hasPenalties(params) ? { prompt: new Set(prompt), output: new Map() } : null;
  }

  /** Whether the next token is chosen from other logits than the model's. */
  get editsLogits(): boolean {
    return (
      this.#history !== null ||
      this.#constraint !== null ||
      this.params.logitBias.length > 0 ||
      this.#bansStopTokens
    );
  }

  /** The next token's random number. */
  get draw(): number {
    return uniform(this.params.seed, this.#generated);
  }

  /**
   * The next token, from the model's logits.
   *
   * @param row `[vocabSize]`, only read
   * @param edited memory for another row
   */
  next(sampler: Sampler, row: Float32Array, edited: Float32Array): TokenId {
    if (!this.editsLogits) return this.accept(sampler.fromRow(row, this.params, this.draw));
    edited.set(row);
    this.#edit(edited);
    return this.accept(sampler.fromRow(edited, this.params, this.draw));
  }

  /** Takes note of the token that was chosen. */
  accept(token: TokenId): TokenId {
    this.#generated += 1;
    this.#constraint?.accept(token);
    this.#history?.output.set(token, (this.#history.output.get(token) ?? 0) + 1);
    return token;
  }

  /** To be called once, when the completion has ended. */
  dispose(): void {
    this.#constraint?.dispose();
  }

  get #bansStopTokens(): boolean {
    return this.#generated < this.#minTokens && this.#stopTokenIds.length > 0;
  }

  #edit(logits: Float32Array): void {
    const mask = this.#constraint?.mask();
    applyLogitBias(logits, this.params.logitBias);
    if (this.#history) applyPenalties(logits, this.#history, this.params);
    if (mask) applyMask(logits, mask);
    if (this.#bansStopTokens) banStopTokens(logits, this.#stopTokenIds);
  }
}
