import type { SamplingParams } from './sampling-params.js';

/** The tokens that penalties depend on. */
export interface TokenHistory {
  /** Tokens of the prompt; only the repetition penalty uses them. */
  readonly prompt: ReadonlySet<number>;
  /** Number of occurrences of each token in the output. */
  readonly output: ReadonlyMap<number, number>;
}

export function hasPenalties(params: SamplingParams): boolean {
  return (
    params.repetitionPenalty !== 1 || params.frequencyPenalty !== 0 || params.presencePenalty !== 0
  );
}

/** Changes `logits` in place. */
export function applyLogitBias(logits: Float32Array, bias: SamplingParams['logitBias']): void {
  for (const [token, amount] of bias) logits[token] += amount;
}

/**
 * Changes `logits` in place: first by the repetition penalty, over prompt and output, then by the
 * two penalties over the output.
 */
export function applyPenalties(
  logits: Float32Array,
  history: TokenHistory,
  params: SamplingParams,
): void {
  const { repetitionPenalty, frequencyPenalty, presencePenalty } = params;
  const { prompt, output } = history;
  if (repetitionPenalty !== 1) {
    for (const token of prompt) repeat(logits, token, repetitionPenalty);
    for (const token of output.keys()) {
      if (!prompt.has(token)) repeat(logits, token, repetitionPenalty);
    }
  }
  for (const [token, count] of output) {
    logits[token] -= count * frequencyPenalty + presencePenalty;
  }
}

/** A penalty above 1 makes the token less likely, whatever the logit's sign. */
function repeat(logits: Float32Array, token: number, penalty: number): void {
  logits[token] = logits[token] > 0 ? logits[token] / penalty : logits[token] * penalty;
}
