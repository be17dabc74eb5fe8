import type { TokenId } from '../../../scheduler/ids.js';
import { ComputedSequence } from '../computed-sequence.js';

/**
 * A sequence as layers on hidden rows see it. Every step computes a hidden row for what it decides,
 * which is worth more than a drafted one: so a draft that the step has not taken is dropped, and
 * begins again from there.
 */
export class LayerSequence extends ComputedSequence {
  /** The layers see the whole text in each step. */
  readonly behind = 0;

  override extend(tokenIds: readonly TokenId[]): void {
    this.cut();
    super.extend(tokenIds);
  }

  /** The last token of the draft, or of the text. */
  get last(): TokenId {
    return this.tokens[this.tokens.length - 1];
  }
}
