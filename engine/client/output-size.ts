import type { SequenceOutput, TokenLogprobs } from '../protocol/outputs.js';

/** A token id and its text. */
const TOKEN_BYTES = 16;

/**
 * One token with its log-probability and bytes, in JSON. Before it is serialized, it takes less.
 */
const SCORE_BYTES = 100;

/** One component of a vector, in JSON. */
const COMPONENT_BYTES = 20;

/** Approximate bytes that an output occupies until it is sent. */
export function outputBytes({
  tokenIds,
  logprobs,
  promptLogprobs,
  embedding,
}: SequenceOutput): number {
  return (
    tokenIds.length * TOKEN_BYTES +
    (logprobs ? scoreBytes(logprobs) : 0) +
    (promptLogprobs ? scoreBytes(promptLogprobs) : 0) +
    (embedding ? embedding.length * COMPONENT_BYTES : 0)
  );
}

export function scoreBytes(scores: readonly TokenLogprobs[]): number {
  // All tokens of a request have the same number of alternatives.
  return scores.length * (1 + (scores[0]?.topIds.length ?? 0)) * SCORE_BYTES;
}
