import type {
  GrammarConstraint,
  GrammarRequest,
  GrammarSource,
} from '../../engine/core/grammar-source.js';
import { OctavoError } from '../../engine/errors.js';
import type { TokenId } from '../../scheduler/ids.js';

/**
 * Grammars of listed texts (`choice`), in this process and at once: for tests that need masks and
 * no threads.
 */
export class ChoiceGrammars implements GrammarSource {
  readonly #vocabulary: readonly string[];
  #isClosed = false;

  /** @param vocabulary the text of each token */
  constructor(vocabulary: readonly string[]) {
    this.#vocabulary = vocabulary;
  }

  constrain(request: GrammarRequest, signal: AbortSignal): Promise<readonly GrammarConstraint[]> {
    const refuse = (kind: 'draining' | 'invalid_request', message: string) =>
      Promise.reject(new OctavoError(kind, message));
    const { spec, count, eosTokenIds } = request;
    if (this.#isClosed) return refuse('draining', 'it is closed');
    if (eosTokenIds.length === 0) return refuse('invalid_request', 'no end-of-text token');
    if (spec.kind !== 'choice') return refuse('invalid_request', `${spec.kind}: only choices here`);
    if (signal.aborted) return Promise.reject(signal.reason as Error);
    const { choices } = spec;
    return Promise.resolve(
      Array.from({ length: count }, () => new ChoiceConstraint(this.#vocabulary, choices, request)),
    );
  }

  close(): Promise<void> {
    this.#isClosed = true;
    return Promise.resolve();
  }
}

class ChoiceConstraint implements GrammarConstraint {
  readonly failure = null;
  readonly #vocabulary: readonly string[];
  readonly #stops: ReadonlySet<TokenId>;
  readonly #isLongest: boolean;
  readonly #words: Int32Array;
  /** What may still come, after each number of tokens. */
  readonly #rests: (readonly string[])[];

  constructor(
    vocabulary: readonly string[],
    choices: readonly string[],
    { stopTokenIds, isLongest }: GrammarRequest,
  ) {
    this.#vocabulary = vocabulary;
    this.#stops = new Set(stopTokenIds);
    this.#isLongest = isLongest;
    this.#words = new Int32Array(Math.ceil(vocabulary.length / 32));
    this.#rests = [choices];
  }

  isReady(): boolean {
    return true;
  }

  whenReady(): Promise<void> {
    return Promise.resolve();
  }

  mask(): Int32Array {
    const rests = this.#rests[this.#rests.length - 1];
    const mayEnd = rests.includes('') && (!this.#isLongest || rests.every((rest) => rest === ''));
    this.#words.fill(0);
    for (const [id, text] of this.#vocabulary.entries()) {
      const allowed = this.#stops.has(id as TokenId)
        ? mayEnd
        : text !== '' && rests.some((rest) => rest.startsWith(text));
      if (allowed) this.#words[id >>> 5] |= 1 << (id & 31);
    }
    return this.#words;
  }

  forced(): readonly TokenId[] {
    return [];
  }

  accept(token: TokenId): void {
    const rests = this.#rests[this.#rests.length - 1];
    const text = this.#stops.has(token) ? '' : this.#vocabulary[token];
    this.#rests.push(
      rests.filter((rest) => rest.startsWith(text)).map((rest) => rest.slice(text.length)),
    );
  }

  rollback(count: number): void {
    if (count >= this.#rests.length) throw new RangeError('more than was accepted');
    this.#rests.length -= count;
  }

  dispose(): void {
    this.#rests.length = 1;
  }
}
