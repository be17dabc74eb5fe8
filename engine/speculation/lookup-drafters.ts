import type { TokenId } from '../../scheduler/ids.js';
import {
  type Draft,
  type DraftClass,
  type DraftedSequence,
  type Drafter,
  NO_DRAFT,
  type SequenceDrafter,
} from './drafter.js';
import type { OutputArchive } from './output-archive.js';
import { type TextMatch, TokenText } from './token-text.js';

/** How many equal tokens make a lookup's match: at least, and at most as far as it is compared. */
export interface LookupBounds {
  readonly least: number;
  readonly longest: number;
}

/**
 * Looks for the last tokens of a sequence in its own prompt and output, and drafts what followed
 * there: prompt lookup (Saxena 2023), vLLM's method `ngram`.
 */
export class NgramDrafter implements Drafter {
  readonly #bounds: LookupBounds;

  constructor(bounds: LookupBounds) {
    this.#bounds = bounds;
  }

  begin({ promptTokenIds }: DraftedSequence): SequenceDrafter {
    const own = new OwnText(promptTokenIds, this.#bounds);
    return {
      extend: (tokenIds) => own.extend(tokenIds),
      draft: (most) => own.draftFrom(own.text, most),
      end: () => undefined,
    };
  }
}

/**
 * Looks into outputs that have ended, too, of sequences whose prompts begin alike: the idea of
 * SuffixDecoding (Oliaro et al. 2025), vLLM's method `suffix`, without its tree of counts.
 */
export class SuffixDrafter implements Drafter {
  readonly #bounds: LookupBounds;
  readonly #archive: OutputArchive;

  constructor(bounds: LookupBounds, archive: OutputArchive) {
    this.#bounds = bounds;
    this.#archive = archive;
  }

  begin({ promptTokenIds, shareKey }: DraftedSequence): SequenceDrafter {
    const own = new OwnText(promptTokenIds, this.#bounds);
    const archive = this.#archive;
    return {
      extend: (tokenIds) => own.extend(tokenIds),
      draft: (most) => {
        const others = archive.textOf(shareKey);
        const [here, there] = [own.find(own.text), others ? own.find(others) : null];
        if (others && there && there.length > (here?.length ?? 0)) {
          return own.draftBehind(others, there, most);
        }
        return here ? own.draftBehind(own.text, here, most) : NO_DRAFT;
      },
      end: () => archive.add(shareKey, own.output),
    };
  }
}

/**
 * Drafts from the output that the client expects (OpenAI's `prediction`): from its beginning, and
 * wherever the text departs from it, from where it comes back.
 */
export class PredictionDrafter implements Drafter {
  readonly #bounds: LookupBounds;

  constructor(bounds: LookupBounds) {
    this.#bounds = bounds;
  }

  begin({ prediction = [] }: DraftedSequence): SequenceDrafter {
    const expected = new TokenText(this.#bounds.least);
    expected.append(prediction);
    const own = new OwnText([], this.#bounds);
    /** The index in the prediction at which the text is; -1 when it has departed from it. */
    let cursor = 0;
    return {
      extend: (tokenIds) => {
        own.extend(tokenIds);
        for (const token of tokenIds) {
          if (cursor >= 0) cursor = prediction[cursor] === token ? cursor + 1 : -1;
        }
        if (cursor < 0) cursor = own.find(expected)?.end ?? -1;
      },
      draft: (most) =>
        cursor < 0 ? NO_DRAFT : { tokenIds: expected.slice(cursor, most), class: 'long' },
      end: () => undefined,
    };
  }
}

/** The tokens of one sequence, indexed when they are first searched. */
class OwnText {
  readonly #bounds: LookupBounds;
  readonly #text: TokenText;
  readonly output: TokenId[] = [];
  /** Tokens that are not in the text yet. */
  #pending: readonly TokenId[];

  constructor(promptTokenIds: readonly TokenId[], bounds: LookupBounds) {
    this.#bounds = bounds;
    this.#text = new TokenText(bounds.least);
    this.#pending = promptTokenIds;
  }

  get text(): TokenText {
    this.#text.append(this.#pending);
    this.#pending = [];
    return this.#text;
  }

  extend(tokenIds: readonly TokenId[]): void {
    this.text.append(tokenIds);
    for (const token of tokenIds) this.output.push(token);
  }

  find(text: TokenText): TextMatch | null {
    return text.find(this.text, this.#bounds.longest);
  }

  draftFrom(text: TokenText, most: number): Draft {
    const match = this.find(text);
    return match ? this.draftBehind(text, match, most) : NO_DRAFT;
  }

  draftBehind(text: TokenText, { end, length }: TextMatch, most: number): Draft {
    return { tokenIds: text.slice(end, most), class: classOf(length) };
  }
}

/** Longer matches hold more often. */
function classOf(length: number): DraftClass {
  if (length >= 8) return 'long';
  return length >= 4 ? 'medium' : 'short';
}
