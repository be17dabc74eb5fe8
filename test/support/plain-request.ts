import { type EngineRequest, PLAIN_REQUEST } from '../../engine/protocol/request.js';
import { GREEDY } from '../../engine/sampling/sampling-params.js';
import type { SequenceId, TokenId } from '../../scheduler/ids.js';

/** A greedy request of a few tokens, and what a test wants different. */
export function plainRequest(more: Partial<EngineRequest> = {}): EngineRequest {
  return {
    ids: ['request' as SequenceId],
    promptTokenIds: [1, 2, 3] as number[] as TokenId[],
    maxTokens: 4,
    stopTokenIds: [],
    sampling: GREEDY,
    ...PLAIN_REQUEST,
    ...more,
  };
}
