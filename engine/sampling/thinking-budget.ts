import type { TokenId } from '../../scheduler/ids.js';

/** How many tokens a sequence may think, and how its thinking is recognized. */
export interface ThinkingLimit {
  /** Tokens between the two texts. */
  readonly budget: number;
  /** Tokens of the text that opens reasoning; not empty. */
  readonly open: readonly TokenId[];
  /** Of the text that closes it; not empty. */
  readonly close: readonly TokenId[];
  /** What is written when the budget is spent: it ends with `close`. */
  readonly closing: readonly TokenId[];
  /** Whether the prompt has opened it. */
  readonly isOpen: boolean;
}

/** White space that may come before the opening text, in tokens. */
const MOST_BEFORE = 4;

/**
 * Ends the reasoning of one sequence when its budget is spent, by forcing the tokens that close it.
 * It depends on the sequence's own tokens alone, so that speculation changes nothing: a draft that
 * differs from a forced token is rejected like any other.
 */
export class ThinkingBudget {
  readonly #limit: ThinkingLimit;
  #state: 'before' | 'thinking' | 'over';
  /** Tokens of reasoning. */
  #spent = 0;
  /** The last tokens, as many as the longest text has. */
  readonly #tail: TokenId[];
  #generated = 0;

  constructor(limit: ThinkingLimit) {
    this.#limit = limit;
    this.#state = limit.isOpen ? 'thinking' : 'before';
    this.#tail = [];
  }

  /** The token that must come next; null: any may. */
  forced(): TokenId | null {
    if (this.#state !== 'thinking' || this.#spent < this.#limit.budget) return null;
    const { closing } = this.#limit;
    return closing[this.#begun(closing)] ?? null;
  }

  /** Whether a token may be forced after so many more tokens, whichever they are. */
  mayForce(ahead: number): boolean {
    return this.#state !== 'over' && this.#spent + ahead >= this.#limit.budget;
  }

  accept(token: TokenId): void {
    if (this.#state === 'over') return;
    const { open, close, closing } = this.#limit;
    this.#generated += 1;
    this.#tail.push(token);
    if (this.#tail.length > Math.max(open.length, closing.length)) this.#tail.shift();
    if (this.#state === 'thinking') {
      this.#spent += 1;
      if (this.#endsWith(close)) this.#state = 'over';
      return;
    }
    if (this.#endsWith(open)) {
      this.#state = 'thinking';
      this.#tail.length = 0;
    } else if (this.#generated >= open.length + MOST_BEFORE) this.#state = 'over';
  }

  /** That of a sequence that continues this one. */
  fork(): ThinkingBudget {
    const fork = new ThinkingBudget(this.#limit);
    fork.#state = this.#state;
    fork.#spent = this.#spent;
    fork.#generated = this.#generated;
    fork.#tail.push(...this.#tail);
    return fork;
  }

  #endsWith(text: readonly TokenId[]): boolean {
    const from = this.#tail.length - text.length;
    return from >= 0 && text.every((token, i) => token === this.#tail[from + i]);
  }

  /** How many tokens of a text the last ones are: the model may have begun it by itself. */
  #begun(text: readonly TokenId[]): number {
    for (let count = text.length - 1; count > 0; count--) {
      if (this.#endsWith(text.slice(0, count))) return count;
    }
    return 0;
  }
}
