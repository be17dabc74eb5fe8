import type { TokenId } from '../../scheduler/ids.js';
import type { LogitsQueryBuilder } from '../decoding/logits-query-builder.js';
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

/** Numbers of what was asked for one choice. */
export interface AskedChoice {
  readonly row: number;
  readonly sum: number | null;
}

/**
 * Adds to a query what a drafted token's choice needs.
 *
 * @param next chooses it
 * @param stepRow whose logits it chooses from
 */
export function askChoice(
  builder: LogitsQueryBuilder,
  next: SequenceSampler,
  stepRow: number,
): AskedChoice {
  const needs = next.needs();
  const row = builder.addLogits(stepRow, needs.topK);
  if (needs.fullRow) builder.addFullRow(row);
  const { temperature } = next.params;
  const sum = needs.unless ? builder.addSoftmaxSum(row, temperature, needs.unless) : null;
  return { row, sum };
}
