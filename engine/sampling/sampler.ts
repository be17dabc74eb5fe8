import type { TokenId } from '../../scheduler/ids.js';
import { type Candidates, LogitRanker } from './candidates.js';
import { chooseRank, needsTotal, UNDECIDED } from './choose.js';
import type { SamplingParams } from './sampling-params.js';

/**
 * Number of candidates that are ranked at first: a power of two that covers the nucleus of most
 * distributions.
 */
export const MAX_TOP_K = 128;
/** Factor by which more are ranked when these do not decide. */
const GROWTH = 16;

/**
 * Chooses tokens from logits by temperature and filters. Its only state is reused memory: the same
 * logits, parameters and draw always give the same token.
 */
export class Sampler {
  readonly #ranker = new LogitRanker();
  #weights = new Float64Array(MAX_TOP_K);

  /**
   * Chooses from the head of a ranking alone.
   *
   * @param draw uniform in [0, 1)
   * @param total see `chooseRank`
   * @returns null when the whole row is needed; then use `fromRow`
   */
  fromCandidates(
    candidates: Candidates,
    params: SamplingParams,
    draw: number,
    total: number,
  ): TokenId | null {
    if (this.#weights.length < candidates.count) this.#weights = new Float64Array(candidates.count);
    const rank = chooseRank(candidates, params, draw, total, this.#weights);
    return rank === UNDECIDED ? null : (candidates.ids[rank] as TokenId);
  }

  /**
   * Chooses from a row `[vocabSize]`, which is not changed.
   *
   * @param known the total, see `chooseRank`; NaN to compute it when needed
   */
  fromRow(
    row: Float32Array,
    params: SamplingParams,
    draw: number,
    known: number = Number.NaN,
  ): TokenId {
    if (params.temperature === 0) return argMax(row);
    let count = params.topK > 0 ? params.topK : MAX_TOP_K;
    let total = known;
    for (;;) {
      const candidates = this.#ranker.largest(row, count);
      if (Number.isNaN(total) && needsTotal(params)) {
        total = totalWeight(row, candidates.logits[0], params.temperature);
      }
      const token = this.fromCandidates(candidates, params, draw, total);
      if (token !== null) return token;
      if (params.topP === 1 && needsTotal(params)) {
        return this.#fromTail(row, candidates, params.temperature, draw * total);
      }
      count *= GROWTH;
    }
  }

  /**
   * Continues after the candidates in the order of ids: without filters, any fixed order gives the
   * same distribution, and ranking a whole vocabulary takes long.
   *
   * @param target mass at which to stop, counted from the first candidate
   */
  #fromTail(
    row: Float32Array,
    candidates: Candidates,
    temperature: number,
    target: number,
  ): TokenId {
    const { count, ids, logits } = candidates;
    const [largest, least, lastId] = [logits[0], logits[count - 1], ids[count - 1]];
    let rest = target;
    for (let rank = 0; rank < count; rank++) rest -= this.#weights[rank];
    let last = lastId;
    for (let id = 0; id < row.length; id++) {
      const logit = row[id];
      if (logit > least || (logit === least && id <= lastId)) continue;
      const weight = Math.exp((logit - largest) / temperature);
      if (weight > 0) last = id;
      rest -= weight;
      if (rest < 0) break;
    }
    return last as TokenId;
  }
}

/** The token with the largest logit; the lowest id among equals, so that ties are deterministic. */
export function argMax(logits: Float32Array): TokenId {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i] > logits[best]) best = i;
  return best as TokenId;
}

/** Sum over a row of `exp((logit - largest) / temperature)`. */
export function totalWeight(row: Float32Array, largest: number, temperature: number): number {
  let total = 0;
  for (let i = 0; i < row.length; i++) total += Math.exp((row[i] - largest) / temperature);
  return total;
}
