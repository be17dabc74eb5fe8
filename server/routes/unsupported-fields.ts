import { OctavoError } from '../../engine/errors.js';

const isEmptyObject = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && Object.keys(value).length === 0;

const oneOf =
  (...values: unknown[]) =>
  (value: unknown): boolean =>
    values.includes(value);

const never = (): boolean => false;

const isTextOnly = (value: unknown): boolean =>
  Array.isArray(value) && value.length === 1 && value[0] === 'text';

/**
 * Fields that clients know and that would change the answer, each with the values that ask for nothing. Any other value is
 * refused: an answer that silently ignores a wish is a wrong answer.
 */
const NEUTRAL: Readonly<Record<string, (value: unknown) => boolean>> = {
  logprobs: oneOf(false),
  top_logprobs: oneOf(0),
  prompt_logprobs: never,
  tools: never,
  tool_choice: oneOf('none'),
  functions: never,
  function_call: oneOf('none'),
  guided_whitespace_pattern: never,
  logit_bias: isEmptyObject,
  presence_penalty: oneOf(0),
  frequency_penalty: oneOf(0),
  repetition_penalty: oneOf(1),
  top_k: oneOf(0, -1),
  min_p: oneOf(0),
  typical_p: oneOf(1),
  min_tokens: oneOf(0),
  best_of: oneOf(1),
  use_beam_search: oneOf(false),
  suffix: oneOf(''),
  modalities: isTextOnly,
  audio: never,
  prediction: never,
  reasoning_effort: oneOf('none'),
  web_search_options: never,
};

/** @throws OctavoError `invalid_request` that names the first field that is asked for and not supported */
export function refuseUnsupported(body: object): void {
  for (const [field, value] of Object.entries(body)) {
    if (value === null || !Object.hasOwn(NEUTRAL, field)) continue;
    if (!NEUTRAL[field](value)) {
      throw new OctavoError('invalid_request', `${field} is not supported`, { param: field });
    }
  }
}
