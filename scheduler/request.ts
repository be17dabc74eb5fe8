import type { BlockTable } from '../kvcache/block-table.js';
import type { RequestId, TokenId } from './ids.js';

/** What a caller asks for. */
export interface RequestSpec {
  /** One id for each completion of the prompt; at least one. The prompt is computed once for all of them. */
  readonly ids: readonly RequestId[];
  readonly promptTokenIds: readonly TokenId[];
  /** Of each completion; with 0, the request ends as soon as its prompt is computed. */
  readonly maxTokens: number;
  readonly stopTokenIds: readonly TokenId[];
  /** Smaller is earlier; without effect unless the priority policy is on. */
  readonly priority: number;
  /** Milliseconds on the scheduler's clock. */
  readonly arrivalTime: number;
  /** Only requests with the same salt share cached blocks. */
  readonly cacheSalt: string | null;
  /** Somebody reads the rows of all prompt tokens, so each must be computed once, cached or not. */
  readonly computesWholePrompt: boolean;
}

/** A sequence in the scheduler's hands, which alone changes it. */
export class Request {
  readonly spec: RequestSpec;
  /**
   * The completions that this sequence stands for: all of them while their common prompt is computed, one
   * after they have forked.
   */
  readonly ids: RequestId[];
  /** Prompt and generated tokens; K and V of the first `numComputed` are in the cache. */
  readonly tokens: TokenId[];
  /** Another one where a switch length was passed. */
  table: BlockTable;
  /** Place in the order of service, fixed at arrival (`policies.ts`). */
  readonly rank: number;
  /** Breaks ties of `rank`: the order of creation. */
  readonly sequence: number;
  numComputed = 0;
  /** Prompt tokens found in the prefix cache when it was first scheduled; null before that. */
  cachedTokens: number | null = null;

  constructor(
    spec: RequestSpec,
    ids: readonly RequestId[],
    order: { readonly rank: number; readonly sequence: number },
    table: BlockTable,
  ) {
    this.spec = spec;
    this.ids = [...ids];
    this.tokens = [...spec.promptTokenIds];
    this.rank = order.rank;
    this.sequence = order.sequence;
    this.table = table;
  }

  get numGenerated(): number {
    return this.tokens.length - this.spec.promptTokenIds.length;
  }
}
