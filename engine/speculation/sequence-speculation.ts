import type { TokenId } from '../../scheduler/ids.js';
import type { AcceptanceRates } from './acceptance.js';
import type { ComputedDrafter, DraftClass, SequenceDrafter } from './drafter.js';

/** A drafter's state for the sequence, and how often its drafts were right here. */
export interface DraftSource {
  readonly of: SequenceDrafter;
  readonly rates: AcceptanceRates;
}

/** The same of a drafter that computes. */
export interface ComputedSource extends DraftSource {
  readonly of: ComputedDrafter;
}

export interface RatedDraft {
  readonly tokenIds: readonly TokenId[];
  /** See `bestDraftLength`. */
  readonly rateAt: (depth: number) => number;
  /** Whether it has cost something already, so that any gain is welcome. */
  readonly isPaid: boolean;
}

/** A draft that is compared with the text as it comes, whether it was computed or not. */
interface WatchedDraft {
  readonly tokenIds: readonly TokenId[];
  readonly class: DraftClass;
  readonly rates: AcceptanceRates;
  /** Number of its tokens that were right so far. */
  depth: number;
}

/** Speculation about one sequence: the first of its sources that has a draft gives it. */
export class SequenceSpeculation {
  readonly #prediction: DraftSource | null;
  readonly #sources: readonly DraftSource[];
  /** The last of the sources; null where none computes. */
  readonly computed: ComputedSource | null;
  #watched: WatchedDraft | null = null;
  #isPredicted = false;

  /**
   * @param prediction the output that the client expects; null for none. It is asked first
   * @param others asked in this order
   * @param computed asked last, because its drafts are not free; null for none
   */
  constructor(
    prediction: DraftSource | null,
    others: readonly DraftSource[],
    computed: ComputedSource | null = null,
  ) {
    this.#prediction = prediction;
    this.computed = computed;
    this.#sources = [prediction ?? [], others, computed ?? []].flat();
  }

  /** Whether the last draft was of what the client has predicted. */
  get isPredicted(): boolean {
    return this.#isPredicted;
  }

  /** Whether a source has a draft that costs nothing. */
  get hasFreeDraft(): boolean {
    return this.#sources.some(
      ({ of }) => of !== this.computed?.of && of.draft(1).tokenIds.length > 0,
    );
  }

  /** Call it before the decision about the next token. */
  draft(most: number): RatedDraft {
    this.#isPredicted = false;
    for (const source of this.#sources) {
      const { of, rates } = source;
      const { tokenIds, class: draftClass } = of.draft(most);
      if (tokenIds.length === 0) continue;
      this.#isPredicted = source === this.#prediction;
      this.#watched ??= { tokenIds, class: draftClass, rates, depth: 0 };
      const isPaid = source === this.computed;
      return { tokenIds, rateAt: (depth) => rates.rate(draftClass, depth), isPaid };
    }
    return { tokenIds: [], rateAt: () => 0, isPaid: false };
  }

  decided(tokenIds: readonly TokenId[]): void {
    for (const token of tokenIds) this.#watch(token);
    for (const { of } of this.#sources) of.extend(tokenIds);
  }

  end(): void {
    for (const { of } of this.#sources) of.end();
  }

  #watch(token: TokenId): void {
    const watched = this.#watched;
    if (watched === null) return;
    const isRight = watched.tokenIds[watched.depth] === token;
    watched.rates.observe(watched.class, watched.depth, isRight);
    watched.depth += 1;
    if (!isRight || watched.depth === watched.tokenIds.length) this.#watched = null;
  }
}
