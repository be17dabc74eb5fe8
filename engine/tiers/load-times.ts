import type { TierName } from '../protocol/reports.js';

/** Share of the newest measurement in a mean. */
const NEWEST = 0.2;

/**
 * Steps with fewer tokens say little of what a prompt costs: reading the weights dominates them.
 */
const MIN_STEP_TOKENS = 32;

/**
 * So often a tier that was measured too slow is tried again: its load may have been a passing one.
 */
const TRY_AGAIN = 16;

/** Part of a load from one tier. */
export interface LoadPart {
  readonly tier: TierName;
  readonly bytes: number;
}

/**
 * Whether loading a prefix is quicker than computing it, by what both were measured to take of
 * late. What was never measured is assumed to be quick, and so gets measured.
 */
export class LoadTimes {
  /** Milliseconds of a computed token; null: not measured yet. */
  #perToken: number | null = null;
  /** Milliseconds of a byte, waiting included. */
  readonly #perByte = new Map<TierName, number>();
  #refused = 0;

  /** A step has computed so many tokens. */
  computed(tokens: number, ms: number): void {
    if (tokens < MIN_STEP_TOKENS) return;
    this.#perToken = mix(this.#perToken, ms / tokens);
  }

  /** A load has arrived. */
  loaded({ tier, bytes }: LoadPart, ms: number): void {
    if (bytes > 0) this.#perByte.set(tier, mix(this.#perByte.get(tier) ?? null, ms / bytes));
  }

  /** Milliseconds that computing tokens takes; null: not measured yet. */
  computeMs(tokens: number): number | null {
    return this.#perToken === null ? null : this.#perToken * tokens;
  }

  /** @param parts are loaded at the same time */
  isQuicker(parts: readonly LoadPart[], tokens: number): boolean {
    const compute = this.computeMs(tokens);
    if (compute === null) return true;
    const loads = parts.map(({ tier, bytes }) => bytes * (this.#perByte.get(tier) ?? 0));
    if (Math.max(0, ...loads) < compute) return true;
    this.#refused += 1;
    return this.#refused % TRY_AGAIN === 0;
  }
}

function mix(mean: number | null, value: number): number {
  return mean === null ? value : mean + NEWEST * (value - mean);
}
