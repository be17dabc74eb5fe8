import type { SequenceOutput, TokenLogprobs } from '../protocol/outputs.js';

/** A token id, and its text on the way to the client. */
const TOKEN_BYTES = 16;

/** In JSON, one token with its log-probability and bytes. In memory it is less until it is written, and about that much then. */
const SCORE_BYTES = 100;

/** In JSON, one component of a vector. */
const COMPONENT_BYTES = 20;

/** What an output takes on its way to the client, about. */
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
  // All of a request have as many: it asked for them.
  return scores.length * (1 + (scores[0]?.topIds.length ?? 0)) * SCORE_BYTES;
}
