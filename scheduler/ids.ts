import type { Branded } from '../kvcache/ids.js';

/** An entry of the model's vocabulary. */
export type TokenId = Branded<number, 'TokenId'>;

/** A request's name, unique among those alive in one engine. */
export type RequestId = Branded<string, 'RequestId'>;
