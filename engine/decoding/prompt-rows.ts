import type { TokenId } from '../../scheduler/ids.js';
import type { SequenceOutput, TokenLogprobs } from '../protocol/outputs.js';
import type { EngineRequest, Pooling } from '../protocol/request.js';

export type PromptResults = Pick<SequenceOutput, 'promptLogprobs' | 'embedding' | 'labelLogprobs'>;

/** Positions `start` to `end - 1` of a prompt. */
export interface Positions {
  readonly start: number;
  readonly end: number;
}

/**
 * Collects what a request asks of its prompt's rows, piece by piece as the prompt is computed. A
 * piece that is computed again after a preemption is not read again.
 */
export class PromptRows {
  readonly #prompt: readonly TokenId[];
  readonly #numLogprobs: number | null;
  readonly #pooling: Pooling | null;
  /** Tokens whose log-probabilities behind the prompt are asked for. */
  readonly labels: readonly TokenId[];
  #labelLogprobs: readonly number[] | null = null;
  /** One for each prompt token except the first, as far as they have been computed. */
  readonly #logprobs: TokenLogprobs[] = [];
  /** Sum of the hidden states of the first `#pooled` tokens. */
  #sum = new Float64Array(0);
  #pooled = 0;
  #results: PromptResults | null = null;

  constructor({ promptTokenIds, promptLogprobs, pooling, labels = [] }: EngineRequest) {
    this.labels = labels;
    this.#prompt = promptTokenIds;
    this.#numLogprobs = promptLogprobs;
    this.#pooling = pooling;
  }

  /** Number of most likely tokens that are asked for at each position. */
  get numLogprobs(): number {
    return this.#numLogprobs ?? 0;
  }

  /** Whether the rows of all prompt tokens are read, so that cached ones must be computed, too. */
  get readsAll(): boolean {
    return this.#numLogprobs !== null || this.#pooling === 'mean';
  }

  /**
   * The positions whose logits are needed when tokens `start` to `end - 1` are computed. Logits at
   * a position are about the token after it.
   */
  wantedLogits(start: number, end: number): Positions {
    if (this.#numLogprobs === null) return { start, end: start };
    const from = Math.max(start, this.#logprobs.length);
    return { start: from, end: Math.max(from, Math.min(end, this.#prompt.length - 1)) };
  }

  /** The token that the logits at a position are about. */
  tokenAfter(position: number): TokenId {
    return this.#prompt[position + 1];
  }

  addLogprobs(logprobs: TokenLogprobs): void {
    this.#logprobs.push(logprobs);
  }

  /** Whether the labels' row is among those of tokens up to `end - 1`: the prompt's last. */
  wantsLabels(end: number): boolean {
    return this.labels.length > 0 && end === this.#prompt.length;
  }

  addLabels(logprobs: readonly number[]): void {
    this.#labelLogprobs = logprobs;
  }

  /** The positions whose hidden states are needed when tokens `start` to `end - 1` are computed. */
  wantedHidden(start: number, end: number): Positions {
    const last = this.#prompt.length;
    const first = this.#pooling === 'last' ? last - 1 : this.#pooled;
    if (this.#pooling === null) return { start, end: start };
    const from = Math.max(start, first);
    return { start: from, end: Math.max(from, Math.min(end, last)) };
  }

  /** @param hidden `[n, hiddenSize]` of the rows that were asked for, in order */
  addHidden(hidden: Float32Array, count: number): void {
    const size = hidden.length / count;
    if (this.#pooled === 0) this.#sum = new Float64Array(size);
    for (let i = 0; i < hidden.length; i++) this.#sum[i % size] += hidden[i];
    this.#pooled += count;
  }

  /**
   * What the request gets of its prompt, once that is computed: the same object for all its
   * sequences.
   */
  get results(): PromptResults {
    this.#results ??= {
      ...(this.#numLogprobs !== null && { promptLogprobs: this.#logprobs }),
      ...(this.#labelLogprobs !== null && { labelLogprobs: this.#labelLogprobs }),
      ...(this.#pooling !== null && {
        embedding: Float32Array.from(this.#sum, (sum) => sum / this.#pooled),
      }),
    };
    return this.#results;
  }
}
