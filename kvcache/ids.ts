declare const brand: unique symbol;

/** A number or string that TypeScript does not confuse with another kind of id. */
export type Branded<T, Name extends string> = T & { readonly [brand]: Name };

/**
 * Index of a block in the pool: dense, 0 to `numBlocks - 1`. The same number addresses its pages in
 * every layer.
 */
export type BlockId = Branded<number, 'BlockId'>;

/**
 * Identity of a full block's content: SHA-256 over its parent's hash, its token ids and extra keys
 * (base64).
 */
export type BlockHash = Branded<string, 'BlockHash'>;

/**
 * Placeholder in a block table for a block that was released, or never taken, because no token
 * reads it any more.
 */
export const NO_BLOCK = -1 as BlockId;

/**
 * Placeholder in a cached prefix for a block that is not in the pool, but whose content a tier has:
 * a block is allocated for it, and the content is copied there before the step.
 */
export const TO_LOAD = -2 as BlockId;
