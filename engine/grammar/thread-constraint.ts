import type { TokenId } from '../../scheduler/ids.js';
import type { GrammarConstraint } from '../core/grammar-source.js';
import { OctavoError } from '../errors.js';
import { type MaskSlot, SLOT } from './mask-slot.js';
import type { MatcherMove } from './messages.js';

/** Milliseconds after which a thread is given up; a mask normally takes a fraction of one. */
export const MASK_TIMEOUT_MS = 5000;

/** What a constraint needs from its thread. */
export interface MatcherHost {
  advance(move: MatcherMove): void;
  flush(): void;
  /** Resolves when all requests to the matcher are done, or the thread has ended. */
  settle(matcher: number, timeoutMs: number): Promise<void>;
  release(constraint: ThreadConstraint): void;
  end(reason: string): void;
}

/**
 * The sampler's side of a matcher in a grammar thread. `accept` only sends the token: the thread
 * computes the next mask while the model computes the next step, and is seldom late.
 */
export class ThreadConstraint implements GrammarConstraint {
  readonly matcher: number;
  readonly slot: MaskSlot;
  readonly grammar: { live: number };
  /** The client of its request. */
  readonly client: string;
  readonly #host: MatcherHost;
  readonly #stopTokenIds: ReadonlySet<TokenId>;
  /** The step whose mask is needed next; the first mask comes with the matcher. */
  #step = 1;
  /**
   * Tokens that the matcher has accepted. Stop tokens after them are counted here, but not sent to
   * the matcher.
   */
  #taken = 0;
  #stops = 0;
  #failure: OctavoError | null = null;

  constructor(
    host: MatcherHost,
    of: Pick<ThreadConstraint, 'matcher' | 'slot' | 'grammar' | 'client'>,
    stopTokenIds: ReadonlySet<TokenId>,
  ) {
    this.#host = host;
    this.matcher = of.matcher;
    this.slot = of.slot;
    this.grammar = of.grammar;
    this.client = of.client;
    this.#stopTokenIds = stopTokenIds;
  }

  get failure(): OctavoError | null {
    return this.#failure;
  }

  isReady(patience = 0): boolean {
    if (this.#failure || this.slot.wait(this.#step, 0)) return true;
    this.#host.flush();
    return this.slot.wait(this.#step, patience);
  }

  async whenReady(): Promise<void> {
    if (!this.isReady()) await this.#host.settle(this.matcher, MASK_TIMEOUT_MS);
  }

  mask(): Int32Array | null {
    if (this.#failure) return null;
    if (!this.isReady(MASK_TIMEOUT_MS)) {
      this.#host.end(`a mask took more than ${MASK_TIMEOUT_MS / 1000} s`);
      return null;
    }
    const { state } = this.slot;
    if (state === SLOT.ready) return this.slot.mask;
    this.fail(failureOf(state));
    return null;
  }

  forced(patience: number): readonly TokenId[] {
    if (this.#failure || this.#stops > 0 || !this.isReady(patience)) return NONE;
    return this.slot.state === SLOT.ready ? this.slot.forced : NONE;
  }

  accept(token: TokenId): void {
    if (this.#failure) return;
    if (this.#stopTokenIds.has(token)) {
      this.#stops += 1;
      return;
    }
    this.#taken += 1;
    this.#host.advance({ matcher: this.matcher, step: ++this.#step, token });
  }

  rollback(count: number): void {
    if (this.#failure) return;
    const accepted = this.#taken + this.#stops;
    if (count > accepted) throw new RangeError(`${count} tokens to take back, of ${accepted}`);
    const stops = Math.min(count, this.#stops);
    const rollback = count - stops;
    this.#stops -= stops;
    this.#taken -= rollback;
    if (rollback > 0) {
      this.#host.advance({ matcher: this.matcher, step: ++this.#step, rollback });
    }
  }

  dispose(): void {
    this.#host.release(this);
  }

  fail(error: OctavoError): void {
    this.#failure ??= error;
  }
}

const NONE: readonly TokenId[] = [];

function failureOf(state: number): OctavoError {
  if (state === SLOT.deadEnd) {
    const message = 'the grammar demands a text that no token of the model can write';
    return new OctavoError('invalid_request', message);
  }
  return new OctavoError(
    'internal',
    state === SLOT.rejected
      ? 'a token was chosen that the grammar refuses'
      : 'a grammar thread has ended',
  );
}
