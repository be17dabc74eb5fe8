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
 * Masks the stop tokens, unless no other token is allowed: a grammar at its end allows only these,
 * even before the minimum length. Changes `logits` in place.
 */
export function banStopTokens(logits: Float32Array, stopTokenIds: readonly TokenId[]): void {
  const kept = stopTokenIds.map((token) => logits[token]);
  for (const token of stopTokenIds) logits[token] = Number.NEGATIVE_INFINITY;
  if (logits.some((logit) => logit > Number.NEGATIVE_INFINITY)) return;
  stopTokenIds.forEach((token, index) => {
    logits[token] = kept[index];
  });
}
