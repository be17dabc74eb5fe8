import { type Static, Type } from 'typebox';
import { OctavoError } from '../../../engine/errors.js';
import type { TokenId } from '../../../scheduler/ids.js';
import { checkTokenIds } from './prompt-input.js';
import { Nullable } from './request-fields.js';

/** vLLM's bound. */
const MAX_IDS = 128;

export const LOGPROB_TOKEN_FIELDS = {
  /**
   * vLLM's: tokens whose log-probabilities are shown at each place, in place of the likeliest ones;
   * an empty list asks for nothing.
   */
  logprob_token_ids: Nullable(Type.Array(Type.Integer({ minimum: 0 }), { maxItems: MAX_IDS })),
};

const LogprobTokenSchema = Type.Object(LOGPROB_TOKEN_FIELDS);

/** What an answer with log-probabilities shows. */
export interface ShownLogprobs {
  /** Number of tokens at each place, at most; null for no log-probabilities. */
  readonly shown: number | null;
  /** For the engine: the number of likeliest tokens, and those that take their place. */
  readonly asked: {
    readonly logprobs: number | null;
    readonly logprobTokenIds?: readonly TokenId[];
  };
}

/**
 * @param count the number of likeliest tokens that a request asks for; null for no
 *   log-probabilities
 * @param switchedBy what turns them on, for the message
 * @throws OctavoError `invalid_request` without log-probabilities, with beams, and for ids outside
 *   the vocabulary
 */
export function shownLogprobs(
  body: Static<typeof LogprobTokenSchema> & { readonly use_beam_search?: boolean | null },
  count: number | null,
  vocabSize: number,
  switchedBy: string,
): ShownLogprobs {
  const param = 'logprob_token_ids';
  const ids = body.logprob_token_ids ?? [];
  if (ids.length === 0) return { shown: count, asked: { logprobs: count } };
  if (count === null) {
    const message = `${param} is allowed only with ${switchedBy}`;
    throw new OctavoError('invalid_request', message, { param });
  }
  if (body.use_beam_search === true) {
    const message = `${param} is not possible with use_beam_search: true`;
    throw new OctavoError('invalid_request', message, { param });
  }
  const logprobTokenIds = [...new Set(checkTokenIds(ids, vocabSize, param))];
  // The token that was chosen comes first.
  return { shown: logprobTokenIds.length + 1, asked: { logprobs: 0, logprobTokenIds } };
}
