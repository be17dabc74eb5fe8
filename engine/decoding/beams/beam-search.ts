import type { SequenceId, TokenId } from '../../../scheduler/ids.js';
import type { FinishReason } from '../../../scheduler/step-plan.js';
import type { TokenLogprobs } from '../../protocol/outputs.js';
import type { BeamParams } from '../../protocol/request.js';

/** A text by its last token. Texts of beams share their beginnings, so each token is kept once. */
interface BeamText {
  readonly token: TokenId;
  readonly scored: TokenLogprobs;
  readonly before: BeamText | null;
}

/** A text that may go on, and the sum of its tokens' log-probabilities. */
interface Beam {
  readonly id: SequenceId;
  readonly text: BeamText | null;
  readonly score: number;
}

interface Candidate extends Beam {
  readonly text: BeamText;
}

/** A text that has ended. */
export interface Hypothesis {
  readonly tokenIds: readonly TokenId[];
  readonly logprobs: readonly TokenLogprobs[];
  /** Sum of the tokens' log-probabilities, divided by `length ** lengthPenalty`. */
  readonly score: number;
  readonly finishReason: FinishReason;
}

/**
 * How one beam goes on: as itself first, then as forks, each with a token of its own; not at all
 * when others are better.
 */
export interface BeamStep {
  readonly id: SequenceId;
  readonly next: readonly { readonly id: SequenceId; readonly token: TokenId }[];
}

export interface BeamSearchOptions extends BeamParams {
  readonly maxTokens: number;
  readonly minTokens: number;
  readonly stopTokenIds: readonly TokenId[];
}

/**
 * Beam search over the texts of one request. Each round, every beam offers its most likely next
 * tokens; the best `width` continuations that do not end become the next round's beams, and those
 * that end become hypotheses when they are among the best `width` of all. The rules, that of early
 * stopping included, are those of transformers (`GenerationMixin._beam_search`), so that both find
 * the same texts.
 */
export class BeamSearch {
  readonly #options: BeamSearchOptions;
  readonly #stops: ReadonlySet<TokenId>;
  /** The best first. */
  #beams: readonly Beam[];
  /** What beams have offered in this round. */
  readonly #offers = new Map<SequenceId, TokenLogprobs>();
  /** The best first; at most `width`. */
  #finished: { readonly score: number; readonly text: BeamText }[] = [];
  #length = 0;
  #isDone = false;

  /** @param root the sequence that the search begins with */
  constructor(root: SequenceId, options: BeamSearchOptions) {
    this.#options = options;
    this.#stops = new Set(options.stopTokenIds);
    this.#beams = [{ id: root, text: null, score: 0 }];
  }

  /**
   * Number of most likely tokens that each beam offers: even if all stop tokens are the best of
   * each beam, `width` continuations are left that do not end.
   */
  get numCandidates(): number {
    return Math.max(2, 1 + this.#stops.size) * this.#options.width;
  }

  /** The sequences of the present round. */
  get ids(): readonly SequenceId[] {
    return this.#beams.map(({ id }) => id);
  }

  get isDone(): boolean {
    return this.#isDone;
  }

  /** Whether a beam waits for others in this round. */
  hasOffered(id: SequenceId): boolean {
    return this.#offers.has(id);
  }

  /** @param row `numCandidates` most likely next tokens */
  offer(id: SequenceId, row: TokenLogprobs): void {
    this.#offers.set(id, row);
  }

  /** Whether all beams have offered theirs, so that the round can be decided. */
  get isReady(): boolean {
    return !this.#isDone && this.#offers.size === this.#beams.length;
  }

  /**
   * Decides the round. The first continuation of a beam keeps its sequence, each other one has a
   * new one.
   *
   * @param newId names a sequence that forks
   * @returns one entry for each beam of the round
   */
  advance(newId: () => SequenceId): BeamStep[] {
    const { width, lengthPenalty, earlyStopping, maxTokens } = this.#options;
    const length = ++this.#length;
    const candidates = this.#candidates();
    const ends = ({ text }: Candidate): boolean =>
      length >= maxTokens || this.#stops.has(text.token);
    const ended = candidates.slice(0, width).filter(ends);
    const norm = length ** lengthPenalty;
    this.#finished.push(...ended.map(({ text, score }) => ({ text, score: score / norm })));
    this.#finished = this.#finished.sort(byScore).slice(0, width);
    const survivors = candidates.filter((each) => !ends(each)).slice(0, width);
    const isFull = this.#finished.length === width;
    this.#isDone =
      survivors.length === 0 ||
      (isFull && (earlyStopping === true || !this.#canImprove(survivors[0].score)));
    return this.#partBeams(survivors, newId);
  }

  /** The best texts found, the best first; at most `width`. */
  get hypotheses(): Hypothesis[] {
    return this.#finished.map(({ score, text: last }) => {
      const [tokenIds, logprobs]: [TokenId[], TokenLogprobs[]] = [[], []];
      for (let text: BeamText | null = last; text !== null; text = text.before) {
        tokenIds.push(text.token);
        logprobs.push(text.scored);
      }
      const finishReason = this.#stops.has(last.token) ? 'stop' : 'length';
      return { tokenIds: tokenIds.reverse(), logprobs: logprobs.reverse(), score, finishReason };
    });
  }

  /** The best continuations of all beams, the best first. */
  #candidates(): Candidate[] {
    const mayStop = this.#length > this.#options.minTokens;
    const all = this.#beams.flatMap(({ id, text: before, score }) => {
      const row = this.#offers.get(id) as TokenLogprobs;
      return row.topIds.map((token, rank): Candidate => {
        const scored = { ...row, logprob: row.topLogprobs[rank] };
        return { id, text: { token, scored, before }, score: score + scored.logprob };
      });
    });
    this.#offers.clear();
    return all
      .filter(({ text }) => mayStop || !this.#stops.has(text.token))
      .sort(byScore)
      .slice(0, this.numCandidates);
  }

  /**
   * Whether a beam may still become better than the worst hypothesis. With a length penalty, scores
   * can rise again, and this is an estimate unless `earlyStopping` is `never`.
   */
  #canImprove(best: number): boolean {
    const { lengthPenalty, earlyStopping, maxTokens } = this.#options;
    const isPatient = earlyStopping === 'never' && lengthPenalty > 0;
    const norm = (isPatient ? maxTokens : this.#length) ** lengthPenalty;
    return best / norm > this.#finished[this.#finished.length - 1].score;
  }

  #partBeams(survivors: readonly Candidate[], newId: () => SequenceId): BeamStep[] {
    const steps = this.#beams.map(({ id }) => ({
      id,
      next: [] as { id: SequenceId; token: TokenId }[],
    }));
    const byId = new Map(steps.map((step) => [step.id, step.next]));
    this.#beams = survivors.map((beam) => {
      const next = byId.get(beam.id) as { id: SequenceId; token: TokenId }[];
      const id = next.length === 0 ? beam.id : newId();
      next.push({ id, token: beam.text.token });
      return { ...beam, id };
    });
    return steps;
  }
}

function byScore(a: { readonly score: number }, b: { readonly score: number }): number {
  return b.score - a.score;
}
