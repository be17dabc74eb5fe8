import type { TokenId } from '../../scheduler/ids.js';
import type { GrammarConstraint } from '../core/grammar-source.js';
import { OctavoError } from '../errors.js';
import { type MaskSlot, SLOT } from './mask-slot.js';

/** A mask takes a fraction of a millisecond; a thread that needs this long for one must not hold up all others. */
export const MASK_TIMEOUT_MS = 5000;

/** What a constraint needs of its thread. */
export interface MatcherHost {
  advance(matcher: number): void;
  flush(): void;
  release(constraint: ThreadConstraint): void;
  end(reason: string): void;
}

/**
 * The sampler's side of a matcher in a grammar thread. `accept` only sends the token: the next mask is computed while the model computes the
 * next step, and `mask` seldom has to wait.
 */
export class ThreadConstraint implements GrammarConstraint {
  readonly matcher: number;
  readonly slot: MaskSlot;
  readonly grammar: { live: number };
  /** Whose request it is of. */
  readonly client: string;
  readonly #host: MatcherHost;
  readonly #stopTokenIds: ReadonlySet<TokenId>;
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

  mask(): Int32Array | null {
    if (this.#failure) return null;
    if (this.slot.state === SLOT.pending) {
      this.#host.flush();
      if (!this.slot.wait(MASK_TIMEOUT_MS)) {
        this.#host.end(`a mask took more than ${MASK_TIMEOUT_MS / 1000} s`);
        return null;
      }
    }
    const { state } = this.slot;
    if (state === SLOT.ready) return this.slot.mask;
    this.fail(failureOf(state));
    return null;
  }

  accept(token: TokenId): void {
    if (this.#failure || this.#stopTokenIds.has(token)) return;
    this.slot.request(token);
    this.#host.advance(this.matcher);
  }

  dispose(): void {
    this.#host.release(this);
  }

  fail(error: OctavoError): void {
    this.#failure ??= error;
  }
}

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
