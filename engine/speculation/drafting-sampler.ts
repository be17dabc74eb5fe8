import type { TokenId } from '../../scheduler/ids.js';
import type { EngineRequest } from '../protocol/request.js';
import { seedOf } from '../sampling/random.js';
import { SequenceSampler } from '../sampling/sequence-sampler.js';

/**
 * A sampler that chooses as a sequence's own does, from the logits of another model and without a
 * grammar: what a grammar forbids is drafted, and not accepted.
 *
 * @param index of the sequence among those of its request
 * @param vocabSize of the other model; tokens from there on are left out of the parameters
 */
export function samplerOf(
  request: EngineRequest,
  index: number,
  vocabSize: number,
): SequenceSampler {
  const { sampling, promptTokenIds, stopTokenIds, minTokens, thinking } = request;
  const { allowedTokenIds, bannedWords, logitBias, seed } = sampling;
  const isKnown = (token: TokenId): boolean => token < vocabSize;
  const params = {
    ...sampling,
    seed: seedOf(seed, index),
    logitBias: logitBias.filter(([token]) => isKnown(token)),
    ...(allowedTokenIds && { allowedTokenIds: allowedTokenIds.filter(isKnown) }),
    ...(bannedWords && { bannedWords: bannedWords.filter((word) => word.every(isKnown)) }),
  };
  return new SequenceSampler({
    params,
    promptTokenIds: promptTokenIds.filter(isKnown),
    stopTokenIds: stopTokenIds.filter(isKnown),
    minTokens,
    thinking,
    constraint: null,
  });
}
