import type { TokenId } from '../../scheduler/ids.js';
import { type Frame, NO_FRAME } from './tokenizer/post-processor.js';

/**
 * Cuts the end of a text that is too long, but not the special tokens behind it.
 *
 * @param tokens with the frame's special tokens around them
 */
export function cutTokens(
  tokens: readonly TokenId[],
  limit: number,
  { before, after }: Pick<Frame, 'before' | 'after'> = NO_FRAME,
): readonly TokenId[] {
  if (tokens.length <= limit) return tokens;
  const kept = Math.max(limit - after.length, before.length);
  return [...tokens.slice(0, kept), ...(after as readonly TokenId[])].slice(0, limit);
}

/**
 * How many tokens two texts keep that must fit together, as the tokenizers library's
 * `longest_first` has it: the longer one is cut to what the other leaves; where both are long, each
 * gets one half.
 *
 * @returns tokens of the first and of the second
 */
export function cutPair(first: number, second: number, limit: number): readonly [number, number] {
  if (first + second <= limit) return [first, second];
  const shorter = Math.min(first, second);
  const rest = Math.max(shorter, limit - shorter);
  const [less, more] =
    shorter + rest > limit
      ? [Math.floor(limit / 2), Math.floor(limit / 2) + (limit % 2)]
      : [shorter, rest];
  return first > second ? [more, less] : [less, more];
}
