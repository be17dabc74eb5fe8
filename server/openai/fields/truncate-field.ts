import { Type } from 'typebox';
import { OctavoError } from '../../../engine/errors.js';
import { Nullable } from './request-fields.js';

/** vLLM's: tokens to which longer texts are cut at their end; -1: to what the model reads. */
export const TruncateSchema = Nullable(Type.Integer({ minimum: -1 }));

/**
 * @param asked the field's value; null where a request does not have it
 * @param context tokens that the model reads at most
 * @returns null when nothing is cut
 * @throws OctavoError `invalid_request` for more tokens than the model reads, and for none
 */
export function cutTo(asked: number | null, context: number): number | null {
  if (asked === null) return null;
  if (asked === -1) return context;
  if (asked > 0 && asked <= context) return asked;
  const param = 'truncate_prompt_tokens';
  const message = `${param}: must be -1, or 1 to ${context}, the tokens that the model reads`;
  throw new OctavoError('invalid_request', message, { param });
}
