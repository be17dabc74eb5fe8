import type { TokenId } from '../../scheduler/ids.js';
import type { TokenLogprobs } from '../protocol/outputs.js';
import type { Candidates } from '../sampling/candidates.js';

/**
 * A log-softmax at a few places of a row.
 *
 * @param logit the logit of the token at this position
 * @param total the sum over the vocabulary of `exp(logit - largest)`
 * @param count number of most likely tokens
 */
export function tokenLogprobs(
  logit: number,
  { ids, logits }: Candidates,
  total: number,
  count: number,
): TokenLogprobs {
  const base = logits[0] + Math.log(total);
  const topIds: TokenId[] = [];
  const topLogprobs: number[] = [];
  for (let rank = 0; rank < count; rank++) {
    topIds.push(ids[rank] as TokenId);
    topLogprobs.push(logits[rank] - base);
  }
  return { logprob: logit - base, topIds, topLogprobs };
}

/**
 * The same for certain tokens in place of the most likely ones.
 *
 * @param row `[vocabSize]`
 * @param ids the token at this position comes first, whether it is among them or not
 */
export function chosenLogprobs(
  token: TokenId,
  row: Float32Array,
  largest: number,
  total: number,
  ids: readonly TokenId[],
): TokenLogprobs {
  const base = largest + Math.log(total);
  const topIds = [token, ...ids.filter((id) => id !== token)];
  const topLogprobs = topIds.map((id) => row[id] - base);
  return { logprob: topLogprobs[0], topIds, topLogprobs };
}
