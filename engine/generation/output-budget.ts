import { OctavoError } from '../errors.js';
import { contextExceeded } from '../text/assert-may-fit.js';

/**
 * The number of tokens that may be generated.
 *
 * @param asked the client's limit, which must fit. `standard`, used when there is none, is reduced
 *   to the rest of the context
 * @throws OctavoError `context_length_exceeded` with both numbers; `invalid_request` for an empty
 *   prompt
 */
export function outputBudget(options: {
  readonly promptTokens: number;
  readonly asked: number | null;
  readonly standard: number;
  readonly context: number;
  readonly param: 'messages' | 'prompt' | 'input' | 'input_prefix';
}): number {
  const { promptTokens, asked, context, param } = options;
  if (promptTokens === 0) {
    throw new OctavoError('invalid_request', `${param} is empty: it gives no token`, { param });
  }
  const left = context - promptTokens;
  const wanted = asked ?? 1;
  if (wanted > left) throw contextExceeded({ context, promptTokens, wanted, param });
  return asked ?? Math.min(options.standard, left);
}
