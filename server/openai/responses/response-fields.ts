import { type Static, Type } from 'typebox';
import { OctavoError } from '../../../engine/errors.js';
import { FUNCTION_NAME } from '../../../engine/tools/tool-format.js';
import { BEAM_FIELDS, refuseBestOf } from '../fields/beam-fields.js';
import { LOGPROB_TOKEN_FIELDS } from '../fields/logprob-token-ids.js';
import { COMMON_FIELDS, Count, Nullable } from '../fields/request-fields.js';
import type { StructuredOutputSchema } from '../fields/structured-output.js';
import { OWN_TEMPLATE, TEMPLATE_FIELDS } from '../fields/template-fields.js';
import {
  isEmptyList,
  type NeutralValues,
  never,
  oneOf,
  refuseUnsupported,
} from '../fields/unsupported-fields.js';
import { InputSchema } from './input-items.js';
import { RESPONSE_TOOL_FIELDS } from './tools.js';

// One response is one completion, and some fields have other names.
const {
  n: _n,
  max_tokens: _maxTokens,
  max_completion_tokens: _maxCompletionTokens,
  stream_options: _streamOptions,
  prompt_logprobs: _promptLogprobs,
  return_tokens_as_token_ids: _asTokenIds,
  response_format: _responseFormat,
  // Chats' word for `text.verbosity`.
  verbosity: _verbosity,
  ...SHARED
} = COMMON_FIELDS;

const TextFormat = Type.Union([
  Type.Object({ type: Type.Literal('text') }),
  Type.Object({
    type: Type.Literal('json_object'),
    /** As llama.cpp and others have it. */
    schema: Nullable(Type.Object({})),
  }),
  Type.Object({
    type: Type.Literal('json_schema'),
    /** For people, like the description. */
    name: Type.String({ pattern: FUNCTION_NAME.source }),
    description: Nullable(Type.String()),
    schema: Type.Object({}),
    /** Answers follow the schema in any case. */
    strict: Nullable(Type.Boolean()),
  }),
]);

export const ResponseSchema = Type.Object({
  ...SHARED,
  ...BEAM_FIELDS,
  input: InputSchema,
  instructions: Nullable(Type.String()),
  previous_response_id: Nullable(Type.String({ minLength: 1 })),
  store: Nullable(Type.Boolean()),
  /** Goes on when the client leaves, and can be asked for meanwhile. */
  background: Nullable(Type.Boolean()),
  max_output_tokens: Nullable(Count(1)),
  /** Of tools that the server runs itself; it has none. */
  max_tool_calls: Nullable(Type.Integer({ minimum: 1 })),
  metadata: Nullable(
    Type.Record(Type.String(), Type.String({ maxLength: 512 }), {
      maxProperties: 16,
    }),
  ),
  ...RESPONSE_TOOL_FIELDS,
  text: Nullable(
    Type.Object({
      format: Nullable(TextFormat),
      verbosity: Nullable(Type.Enum(['low', 'medium', 'high'])),
    }),
  ),
  truncation: Nullable(Type.Enum(['auto', 'disabled'])),
  reasoning: Nullable(
    Type.Object({
      effort: TEMPLATE_FIELDS.reasoning_effort,
      /** None is made. */
      summary: Nullable(Type.Enum(['auto', 'concise', 'detailed'])),
    }),
  ),
  chat_template_kwargs: TEMPLATE_FIELDS.chat_template_kwargs,
  ...OWN_TEMPLATE,
  include: Nullable(Type.Array(Type.String())),
  top_logprobs: Nullable(Type.Integer({ minimum: 0, maximum: 20 })),
  ...LOGPROB_TOKEN_FIELDS,
  stream_options: Nullable(Type.Object({ include_obfuscation: Nullable(Type.Boolean()) })),
});

export type ResponseBody = Static<typeof ResponseSchema>;

/**
 * Like `UNSUPPORTED_FIELDS`, of this API only. Some are fields of chats, which have other names
 * here.
 */
export const UNSUPPORTED_RESPONSE_FIELDS: NeutralValues = {
  context_management: isEmptyList,
  conversation: never,
  image: never,
  moderation: never,
  prompt: never,
  max_tokens: never,
  max_completion_tokens: never,
  messages: never,
  n: oneOf(1),
  prompt_logprobs: never,
  response_format: never,
  return_tokens_as_token_ids: oneOf(false),
};

/**
 * `include` asks for log-probabilities, or for more of what is never there: results of tools that
 * the server runs, encrypted reasoning (the reasoning itself is an item of the output).
 */
const LOGPROBS = 'message.output_text.logprobs';

/** What turns them on, for messages. */
export const LOGPROBS_ON = `include: ["${LOGPROBS}"]`;

/** How many of the likeliest tokens are shown at each place; null: no log-probabilities. */
export function topLogprobs({ include, top_logprobs: top }: ResponseBody): number | null {
  return include?.includes(LOGPROBS) === true ? (top ?? 0) : null;
}

/**
 * @throws OctavoError `invalid_request` that names the first field, or the part of one, that is
 *   asked for and not supported
 */
export function checkResponseFields(body: ResponseBody): void {
  refuseUnsupported(body, ResponseSchema, UNSUPPORTED_RESPONSE_FIELDS);
  const refuse = (param: string, allowed: string): never => {
    throw new OctavoError('invalid_request', `${param} is not supported: must be ${allowed}`, {
      param,
    });
  };
  if (body.stream_options?.include_obfuscation === true) {
    refuse('stream_options.include_obfuscation', 'false');
  }
  refuseBestOf(body);
  if ((body.top_logprobs ?? 0) > 0 && topLogprobs(body) === null) {
    const message = `top_logprobs is allowed only with ${LOGPROBS_ON}`;
    throw new OctavoError('invalid_request', message, { param: 'top_logprobs' });
  }
}

/** The form of the answer, as chats say it. */
export function toChatFormat(
  format: Static<typeof TextFormat> | null,
): NonNullable<Static<typeof StructuredOutputSchema>['response_format']> | null {
  if (format?.type !== 'json_schema') return format;
  const { type, ...json_schema } = format;
  return { type, json_schema };
}
