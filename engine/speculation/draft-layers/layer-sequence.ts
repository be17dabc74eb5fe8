import type { SequenceId, TokenId } from '../../../scheduler/ids.js';
import type { SequenceSampler } from '../../sampling/sequence-sampler.js';
import { type ComputedDrafter, type Draft, NO_DRAFT } from '../drafter.js';

export interface LayerSequenceOptions {
  readonly id: SequenceId;
  readonly promptTokenIds: readonly TokenId[];
  /** At the beginning of the output; owned from now on. */
  readonly sampler: SequenceSampler;
  readonly maxTokens: number;
  /** Maximum length of prompt, output and draft. */
  readonly maxLength: number;
  /** Called once, when it has ended. */
  readonly onEnd: (sequence: LayerSequence) => void;
}

/**
 * A sequence as layers on hidden rows see it: how long its text is, and the draft behind it. Every
 * step computes a hidden row for what it decides, which is worth more than a drafted one: so a
 * draft that the step has not taken is dropped, and begins again from there.
 */
export class LayerSequence implements ComputedDrafter {
  /** The layers see the whole text in each step. */
  readonly behind = 0;
  readonly id: SequenceId;
  readonly #options: LayerSequenceOptions;
  #numKnown: number;
  #lastKnown: TokenId;
  readonly #draft: TokenId[] = [];
  /** The sampler behind the draft; null: the draft is empty. */
  #ahead: SequenceSampler | null = null;
  #hasStopped = false;

  constructor(options: LayerSequenceOptions) {
    const { id, promptTokenIds } = options;
    this.id = id;
    this.#options = options;
    this.#numKnown = promptTokenIds.length;
    this.#lastKnown = promptTokenIds[promptTokenIds.length - 1];
  }

  get room(): number {
    const { promptTokenIds, maxTokens, maxLength } = this.#options;
    // One more token is chosen behind the accepted ones.
    const ofOutput = maxTokens - (this.#numKnown - promptTokenIds.length) - 1;
    return Math.max(0, Math.min(ofOutput, maxLength - this.#numKnown));
  }

  get ready(): number {
    return this.#draft.length;
  }

  /** Tokens of the text. */
  get numKnown(): number {
    return this.#numKnown;
  }

  /** The last token of the draft, or of the text. */
  get last(): TokenId {
    return this.#draft[this.#draft.length - 1] ?? this.#lastKnown;
  }

  /** Whether the draft ends with a token that ends the text. */
  get hasStopped(): boolean {
    return this.#hasStopped;
  }

  /** The sampler of the draft's next token. */
  get next(): SequenceSampler {
    this.#ahead ??= this.#options.sampler.fork();
    return this.#ahead;
  }

  extend(tokenIds: readonly TokenId[]): void {
    this.cut();
    for (const token of tokenIds) this.#options.sampler.accept(token);
    this.#numKnown += tokenIds.length;
    this.#lastKnown = tokenIds[tokenIds.length - 1] ?? this.#lastKnown;
  }

  draft(most: number): Draft {
    const tokenIds = this.#draft.slice(0, most);
    return tokenIds.length === 0 ? NO_DRAFT : { tokenIds, class: 'computed' };
  }

  end(): void {
    this.#options.sampler.dispose();
    this.#options.onEnd(this);
  }

  /** Drops the draft. */
  cut(): void {
    this.#draft.length = 0;
    this.#ahead = null;
    this.#hasStopped = false;
  }

  /** Appends a token to the draft. */
  push(token: TokenId): void {
    const { next } = this;
    next.accept(token);
    this.#draft.push(token);
    this.#hasStopped = next.isStop(token);
  }
}
