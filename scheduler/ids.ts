import type { Branded } from '../kvcache/ids.js';

/** An entry of the model's vocabulary. */
export type TokenId = Branded<number, 'TokenId'>;

/** A sequence's name, unique among the live ones of an engine. */
export type SequenceId = Branded<string, 'SequenceId'>;
