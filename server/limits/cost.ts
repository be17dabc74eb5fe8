import type { EngineRequest } from '../../engine/protocol/request.js';

/** What an API request will take of the engine. */
export interface Cost {
  /** Of all its prompts. */
  readonly promptTokens: number;
  /** The longest of its prompts. */
  readonly longestPrompt: number;
  /** Generated tokens of all its completions, at most. */
  readonly maxTokens: number;
  /** Completions, or prompts where nothing is generated: each takes a slot. */
  readonly sequences: number;
}

type Counted = Pick<EngineRequest, 'promptTokenIds'> &
  Partial<Pick<EngineRequest, 'ids' | 'maxTokens'>>;

export function costOf(requests: readonly Counted[]): Cost {
  const prompts = requests.map(({ promptTokenIds }) => promptTokenIds.length);
  return {
    promptTokens: prompts.reduce((sum, length) => sum + length, 0),
    longestPrompt: Math.max(...prompts),
    maxTokens: requests.reduce(
      (sum, { ids = [], maxTokens = 0 }) => sum + ids.length * maxTokens,
      0,
    ),
    sequences: requests.reduce((sum, { ids }) => sum + (ids?.length ?? 1), 0),
  };
}
