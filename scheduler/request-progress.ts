import type { BlockId } from '../kvcache/ids.js';
import type { RequestId } from './ids.js';
import type { Request } from './request.js';

/** How far a sequence is, for those who watch. Plain data, a copy. */
export interface RequestProgress {
  /** The completions that it stands for: more than one while their common prompt is computed. */
  readonly ids: readonly RequestId[];
  readonly state: 'running' | 'paused' | 'waiting';
  readonly promptTokens: number;
  /** Prompt and generated tokens whose K and V are in the cache. */
  readonly computed: number;
  readonly generated: number;
  readonly maxTokens: number;
  /** Prompt tokens found in the prefix cache; null before it was first scheduled. */
  readonly cachedTokens: number | null;
  /** On the scheduler's clock. */
  readonly arrivalTime: number;
  readonly blocks: readonly BlockId[];
}

export function progressOf(request: Request, state: RequestProgress['state']): RequestProgress {
  const { spec } = request;
  return {
    ids: [...request.ids],
    state,
    promptTokens: spec.promptTokenIds.length,
    computed: request.numComputed,
    generated: request.numGenerated,
    maxTokens: spec.maxTokens,
    cachedTokens: request.cachedTokens,
    arrivalTime: spec.arrivalTime,
    blocks: [...request.table.blocks],
  };
}
