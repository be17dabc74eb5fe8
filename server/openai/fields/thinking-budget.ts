import { Type } from 'typebox';
import { OctavoError } from '../../../engine/errors.js';
import type { MessageForms } from '../../../engine/generation/message-form.js';
import type { ThinkingLimit } from '../../../engine/sampling/thinking-budget.js';
import type { Tokenizer } from '../../../engine/text/tokenizer.js';
import { Nullable } from './request-fields.js';

/** vLLM's: tokens that the model may think; -1 is any number. */
export const THINKING_FIELDS = {
  thinking_token_budget: Nullable(Type.Integer({ minimum: -1, maximum: Number.MAX_SAFE_INTEGER })),
};

/**
 * The bound of a request's reasoning.
 *
 * @param prompt as the model reads it: it may have opened the reasoning
 * @returns undefined without a bound
 * @throws OctavoError `invalid_request` for a model whose reasoning is not between two texts
 */
export function thinkingLimit(
  budget: number | null | undefined,
  prompt: string,
  { reasoning }: Pick<MessageForms, 'reasoning'>,
  tokenizer: Pick<Tokenizer, 'encode'>,
): ThinkingLimit | undefined {
  if (budget === null || budget === undefined || budget === -1) return undefined;
  const tags = reasoning?.tags ?? null;
  if (!reasoning || tags === null) {
    const which = reasoning ? `of the form ${reasoning.name} has` : 'needs';
    const message = reasoning
      ? `thinking_token_budget: reasoning ${which} no text that closes it`
      : `thinking_token_budget: ${which} a model whose reasoning is read (--reasoning-parser)`;
    throw new OctavoError('invalid_request', message, { param: 'thinking_token_budget' });
  }
  const tokensOf = (text: string) => tokenizer.encode(text, { addSpecialTokens: false });
  return {
    budget,
    open: tokensOf(tags[0]),
    close: tokensOf(tags[1]),
    closing: [...tokensOf('\n'), ...tokensOf(tags[1])],
    isOpen: reasoning.opens(prompt),
  };
}
