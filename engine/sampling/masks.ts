import type { TokenId } from '../../scheduler/ids.js';

/** Keeps only the tokens whose bit is set (`TokenConstraint.mask`). Changes `logits` in place. */
export function applyMask(logits: Float32Array, mask: Int32Array): void {
  for (let word = 0; word < mask.length; word++) {
    const bits = mask[word];
    if (bits === -1) continue;
    const end = Math.min(32 * word + 32, logits.length);
    // In most grammars, most words are zero.
    if (bits === 0) {
      logits.fill(Number.NEGATIVE_INFINITY, 32 * word, end);
      continue;
    }
    for (let token = 32 * word; token < end; token++) {
      if (((bits >>> (token & 31)) & 1) === 0) logits[token] = Number.NEGATIVE_INFINITY;
    }
  }
}

/**
 * Masks some tokens, unless no other one is allowed: a grammar at its end allows only stop tokens,
 * even before the minimum length. Changes `logits` in place.
 */
export function banTokens(logits: Float32Array, tokenIds: readonly TokenId[]): void {
  const kept = tokenIds.map((token) => logits[token]);
  for (const token of tokenIds) logits[token] = Number.NEGATIVE_INFINITY;
  if (logits.some((logit) => logit > Number.NEGATIVE_INFINITY)) return;
  tokenIds.forEach((token, index) => {
    logits[token] = kept[index];
  });
}
