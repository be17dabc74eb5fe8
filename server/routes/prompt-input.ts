import { type Static, Type } from 'typebox';
import { OctavoError } from '../../engine/errors.js';
import type { TokenId } from '../../scheduler/ids.js';
import type { AppContext } from '../app-context.js';
import { assertMayFit } from '../text/assert-may-fit.js';

const TokenIds = Type.Array(Type.Integer({ minimum: 0 }), { minItems: 1 });

/** One prompt or a batch of them, as text or as token ids. */
export const PromptSchema = Type.Union([
  Type.String(),
  Type.Array(Type.String(), { minItems: 1, maxItems: 2048 }),
  TokenIds,
  Type.Array(TokenIds, { minItems: 1, maxItems: 2048 }),
]);

/**
 * The tokens of each prompt.
 *
 * @param options `param` is the field that the prompts came in
 * @throws OctavoError `invalid_request` for an id outside the vocabulary
 */
export function encodePrompts(
  prompt: Static<typeof PromptSchema>,
  context: AppContext,
  options: { readonly param: string; readonly addSpecialTokens?: boolean },
): TokenId[][] {
  const { param, addSpecialTokens = true } = options;
  const { tokenizer } = context.model;
  const encode = (text: string): TokenId[] => {
    assertMayFit(text, tokenizer, context.engine.info.maxModelLength, param);
    return tokenizer.encode(text, { addSpecialTokens });
  };
  if (typeof prompt === 'string') return [encode(prompt)];
  const [first] = prompt;
  if (typeof first === 'number') return [checkTokenIds(prompt as number[], context, param)];
  return (prompt as (string | number[])[]).map((part, index) =>
    typeof part === 'string' ? encode(part) : checkTokenIds(part, context, `${param}[${index}]`),
  );
}

/** @throws OctavoError `invalid_request` for an id outside the vocabulary */
export function checkTokenIds(
  ids: readonly number[],
  context: Pick<AppContext, 'engine'>,
  param: string,
): TokenId[] {
  const { vocabSize } = context.engine.info;
  const alien = ids.find((id) => id >= vocabSize);
  if (alien !== undefined) {
    const message = `${param}: ${alien} is not in the vocabulary of ${vocabSize} tokens`;
    throw new OctavoError('invalid_request', message, { param });
  }
  return ids as TokenId[];
}
