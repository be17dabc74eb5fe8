import type { TokenId } from '../../scheduler/ids.js';
import { applyMask, banTokens } from './masks.js';
import type { SamplingParams } from './sampling-params.js';

/** Tokens of one sequence that a request forbids: all but some, or those that would end a word. */
export class TokenBans {
  readonly #allowed: readonly TokenId[] | null;
  readonly #words: readonly (readonly TokenId[])[];
  /** The last tokens of the output, as many as a word has before its last one. */
  readonly #tail: TokenId[];
  /** `[ceil(vocabSize / 32)]` bits of the allowed tokens, when they are first needed. */
  #mask: Int32Array | null = null;

  constructor(
    { allowedTokenIds, bannedWords = [] }: SamplingParams,
    tail: readonly TokenId[] = [],
  ) {
    this.#allowed = allowedTokenIds ?? null;
    this.#words = bannedWords;
    this.#tail = [...tail];
  }

  /** Whether most of a row may be forbidden. */
  get isNarrow(): boolean {
    return this.#allowed !== null;
  }

  /** Those that could be forbidden one day, unless `isNarrow`. */
  get lastTokens(): TokenId[] {
    return this.#words.flatMap((word) => word.at(-1) ?? []);
  }

  accept(token: TokenId): void {
    const longest = Math.max(0, ...this.#words.map((word) => word.length - 1));
    this.#tail.push(token);
    if (this.#tail.length > longest) this.#tail.shift();
  }

  /** Those of a sequence that continues this one. */
  fork(params: SamplingParams): TokenBans {
    return new TokenBans(params, this.#tail);
  }

  /** Changes `logits` in place; a token that is the only one left stays. */
  apply(logits: Float32Array): void {
    if (this.#allowed !== null) {
      this.#mask ??= maskOf(this.#allowed, logits.length);
      applyMask(logits, this.#mask);
    }
    const ends = this.#words.filter((word) => this.#isBegun(word));
    if (ends.length > 0) banTokens(logits, [...new Set(ends.flatMap((word) => word.at(-1) ?? []))]);
  }

  #isBegun(word: readonly TokenId[]): boolean {
    const before = word.length - 1;
    const from = this.#tail.length - before;
    return from >= 0 && word.slice(0, before).every((token, i) => token === this.#tail[from + i]);
  }
}

function maskOf(allowed: readonly TokenId[], vocabSize: number): Int32Array {
  const mask = new Int32Array(Math.ceil(vocabSize / 32));
  for (const token of allowed) mask[token >>> 5] |= 1 << (token & 31);
  return mask;
}
