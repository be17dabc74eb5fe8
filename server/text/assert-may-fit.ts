import { OctavoError } from '../../engine/errors.js';
import type { Tokenizer } from './tokenizer.js';

/** A normalizer may make a text shorter (three units of Korean become one) before it is cut into tokens. */
const SHRINKS_AT_MOST = 4;

/**
 * Refuses a text that is longer than a context of longest tokens, without cutting it into tokens: that takes seconds for megabytes, and
 * all streams of the server would wait.
 *
 * @param context tokens
 * @throws OctavoError `context_length_exceeded`
 */
export function assertMayFit(
  text: string,
  tokenizer: Pick<Tokenizer, 'longestToken' | 'dropsSpace'>,
  context: number,
  param: string,
): void {
  const length = tokenizer.dropsSpace ? text.replaceAll(/\s+/g, '').length : text.length;
  const least = Math.ceil(length / SHRINKS_AT_MOST / tokenizer.longestToken);
  if (least <= context) return;
  throw new OctavoError(
    'context_length_exceeded',
    `the model's context is ${context} tokens, and ${param} has at least ${least}`,
    { param },
  );
}
