/** How the next token is chosen from the logits. */
export interface SamplingParams {
  /** Divides the logits; 0 is greedy. */
  readonly temperature: number;
  /** Keeps the smallest set of most likely tokens whose mass reaches it (Holtzman et al. 2020, nucleus sampling); 1 keeps all. */
  readonly topP: number;
  /** Uint32. The same seed, model and request give the same tokens, alone or in any batch. */
  readonly seed: number;
}

export const GREEDY: SamplingParams = { temperature: 0, topP: 1, seed: 0 };
