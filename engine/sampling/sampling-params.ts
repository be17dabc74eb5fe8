import type { TokenId } from '../../scheduler/ids.js';

/**
 * How the next token is chosen from the logits. The fields apply in the order of this declaration,
 * except that what is forbidden stays so.
 */
export interface SamplingParams {
  /** Only these may be chosen; absent: all. */
  readonly allowedTokenIds?: readonly TokenId[];
  /**
   * Texts that must not occur in the output, as tokens, none of them empty: a token that would
   * complete one is not chosen. Absent: none.
   */
  readonly bannedWords?: readonly (readonly TokenId[])[];
  /** Added to the logits of single tokens. */
  readonly logitBias: readonly (readonly [token: TokenId, bias: number])[];
  /**
   * Divides positive logits, multiplies negative ones, of tokens in prompt or output (Keskar et al.
   * 2019, CTRL, section 4.1); 1 is neutral.
   */
  readonly repetitionPenalty: number;
  /** Subtracted once for each occurrence of a token in the output; 0 is neutral. */
  readonly frequencyPenalty: number;
  /** Subtracted from the logits of tokens that occur in the output; 0 is neutral. */
  readonly presencePenalty: number;
  /** Divides the logits; 0 is greedy, and the fields below have no effect then. */
  readonly temperature: number;
  /** Keeps the `topK` most likely tokens; 0 keeps all. */
  readonly topK: number;
  /**
   * Keeps tokens at least `minP` times as likely as the most likely one (Nguyen et al. 2024); 0
   * keeps all.
   */
  readonly minP: number;
  /**
   * Keeps the tokens whose surprise is nearest to the entropy, up to this mass (Meister et al.
   * 2023, locally typical sampling); 1 keeps all.
   */
  readonly typicalP: number;
  /**
   * Keeps the smallest set of most likely tokens whose mass reaches it (Holtzman et al. 2020,
   * nucleus sampling); 1 keeps all.
   */
  readonly topP: number;
  /**
   * 0 to `SEED_LIMIT - 1`. It determines the random number of each token: the same seed, request
   * and logits give the same tokens. With integer matmuls (W8A8, 8-bit exports), logits have the
   * same bits alone and in any batch. With float32 matmuls, their last bits may depend on the
   * number of rows of a step, which can change a choice between two nearly equal tokens.
   */
  readonly seed: number;
}

export const GREEDY: SamplingParams = {
  logitBias: [],
  repetitionPenalty: 1,
  frequencyPenalty: 0,
  presencePenalty: 0,
  temperature: 0,
  topK: 0,
  minP: 0,
  typicalP: 1,
  topP: 1,
  seed: 0,
};
