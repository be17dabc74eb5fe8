import { hashAt } from '../../kvcache/prefix-lookup.js';
import type { RequestSpec, Sequence } from '../sequence.js';
import { OutputLengths } from './output-lengths.js';

/** Predicts how many tokens sequences generate. */
export interface LengthPredictor {
  /** Tokens that a sequence which has just arrived is expected to generate. */
  expected(sequence: Sequence): number;
  /**
   * The number of tokens that a sequence does not exceed with the given probability, as far as it
   * has come; null while nothing is known of outputs like its own.
   *
   * @param quantile more than 0, less than 1
   */
  quantile(sequence: Sequence, quantile: number): number | null;
  /** A sequence has ended, or was given up. */
  ended(sequence: Sequence): void;
}

/** With fewer outcomes, a group says nothing. */
const ENOUGH = 8;
/** Groups that are remembered, those that were used last. */
const MOST_GROUPS = 1024;

/**
 * Learns lengths as sequences end: those of the same first block (a system prompt), tenant, route
 * and `max_tokens` are alike. Of the groups that a sequence belongs to, the narrowest that knows
 * enough decides. Until one does, an output is expected to become as long as it may.
 *
 * O(1) a sequence: a group looks back on a fixed number of outputs.
 */
export class LearnedLengths implements LengthPredictor {
  readonly #blockSize: number;
  readonly #groups = new Map<string, OutputLengths>();
  /** Admission asks for a running sequence in each step. */
  readonly #names = new WeakMap<RequestSpec, readonly string[]>();

  /** @param blockSize tokens of a block */
  constructor(blockSize: number) {
    this.#blockSize = blockSize;
  }

  /** Of requests that are alike, at different widths. */
  get numGroups(): number {
    return this.#groups.size;
  }

  expected(sequence: Sequence): number {
    const { maxTokens } = sequence.spec;
    return this.#lengthsOf(sequence)?.remaining(0, maxTokens) ?? maxTokens;
  }

  quantile(sequence: Sequence, quantile: number): number | null {
    const { numGenerated, spec } = sequence;
    const lengths = this.#lengthsOf(sequence);
    return lengths?.quantile(numGenerated, spec.maxTokens, quantile) ?? null;
  }

  ended(sequence: Sequence): void {
    const { numGenerated, spec } = sequence;
    // One that never ran says nothing, and neither does a request that could not have an output.
    if (numGenerated === 0 || spec.maxTokens === 0) return;
    for (const name of this.#namesOf(sequence)) {
      const group = this.#groups.get(name) ?? new OutputLengths();
      group.add(numGenerated, spec.maxTokens);
      this.#groups.delete(name);
      this.#groups.set(name, group);
    }
    for (const oldest of this.#groups.keys()) {
      if (this.#groups.size <= MOST_GROUPS) break;
      this.#groups.delete(oldest);
    }
  }

  #lengthsOf(sequence: Sequence): OutputLengths | undefined {
    return this.#namesOf(sequence)
      .map((name) => this.#groups.get(name))
      .find((group) => group !== undefined && group.count >= ENOUGH);
  }

  /** Of its groups, the narrowest first. As JSON, so that no two groups have the same name. */
  #namesOf({ spec, blocks }: Sequence): readonly string[] {
    const known = this.#names.get(spec);
    if (known) return known;
    const { promptTokenIds, tenant = '', route = '', maxTokens } = spec;
    const first =
      promptTokenIds.length < this.#blockSize
        ? 'short'
        : hashAt(blocks, promptTokenIds, 0, this.#blockSize);
    const all = [route, maxTokens, tenant, first];
    const names = [4, 3, 2, 0].map((length) => JSON.stringify(all.slice(0, length)));
    this.#names.set(spec, names);
    return names;
  }
}
