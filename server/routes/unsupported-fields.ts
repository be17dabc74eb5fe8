import { OctavoError } from '../../engine/errors.js';

export type NeutralValues = Readonly<Record<string, (value: unknown) => boolean>>;

const isEmptyObject = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && Object.keys(value).length === 0;

export const oneOf =
  (...values: unknown[]) =>
  (value: unknown): boolean =>
    values.includes(value);

export const never = (): boolean => false;

const isText = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && (value as { type?: unknown }).type === 'text';

const isTextOnly = (value: unknown): boolean =>
  Array.isArray(value) && value.length === 1 && value[0] === 'text';

/**
 * Fields that clients know and that would change the answer, each with the values that ask for nothing. Any other value is
 * refused: an answer that silently ignores a wish is a wrong answer.
 */
const NEUTRAL: NeutralValues = {
  logprobs: oneOf(false),
  top_logprobs: oneOf(0),
  prompt_logprobs: never,
  functions: never,
  function_call: oneOf('none'),
  response_format: isText,
  guided_json: never,
  guided_regex: never,
  guided_choice: never,
  guided_grammar: never,
  structured_outputs: never,
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
  web_search_options: never,
};

/**
 * @param neutral fields with the values that ask for nothing
 * @throws OctavoError `invalid_request` that names the first field that is asked for and not supported
 */
export function refuseUnsupported(body: object, neutral: NeutralValues = NEUTRAL): void {
  for (const [field, value] of Object.entries(body)) {
    if (value === null || !Object.hasOwn(neutral, field)) continue;
    if (!neutral[field](value)) {
      throw new OctavoError('invalid_request', `${field} is not supported`, { param: field });
    }
  }
}
