import type { TokenId } from '../../scheduler/ids.js';
import type { TokenConstraint } from '../sampling/token-constraint.js';
import { type Draft, NO_DRAFT, type SequenceDrafter } from './drafter.js';

/** Milliseconds that the drafts of one step may wait for masks, all together. */
const MOST_WAITING_MS = 1;
/** After a wait that gave nothing, none waits in so many steps. */
const STEPS_WITHOUT_WAITING = 16;

/**
 * What a step may wait for forced texts. They come with the masks, which grammar threads compute
 * while the model computes the step before: mostly they are there, or nearly.
 */
export class ForcedPatience {
  readonly #now: () => number;
  #left = MOST_WAITING_MS;
  #pausedSteps = 0;

  /** @param now monotonic, milliseconds */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Waits for a constraint's mask, if the step still may, and reads what it forces. */
  read(constraint: TokenConstraint): readonly TokenId[] {
    if (constraint.isReady()) return constraint.forced(0);
    if (this.#left <= 0 || this.#pausedSteps > 0) return [];
    const start = this.#now();
    const forced = constraint.forced(this.#left);
    this.#left -= this.#now() - start;
    if (!constraint.isReady()) this.#pausedSteps = STEPS_WITHOUT_WAITING;
    return forced;
  }

  endStep(): void {
    this.#left = MOST_WAITING_MS;
    this.#pausedSteps = Math.max(0, this.#pausedSteps - 1);
  }
}

/**
 * Drafts the text that a grammar demands where it leaves no choice, such as the next key of a JSON
 * object and the punctuation around it: jump-forward (Zheng et al. 2024, SGLang, section 4), as a
 * draft, so that tokens are those that the model would choose.
 */
export class ForcedDrafter implements SequenceDrafter {
  readonly #constraint: TokenConstraint;
  readonly #patience: ForcedPatience;

  constructor(constraint: TokenConstraint, patience: ForcedPatience) {
    this.#constraint = constraint;
    this.#patience = patience;
  }

  draft(most: number): Draft {
    const forced = this.#patience.read(this.#constraint);
    return forced.length === 0 ? NO_DRAFT : { tokenIds: forced.slice(0, most), class: 'long' };
  }

  extend(): void {}

  end(): void {}
}
