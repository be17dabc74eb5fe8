import { type Static, Type } from 'typebox';
import {
  COMMON_FIELDS,
  type CommonSchema,
  Count,
  Nullable,
} from '../openai/fields/request-fields.js';
import { TEMPLATE_FIELDS } from '../openai/fields/template-fields.js';
import {
  isEmptyList,
  type NeutralValues,
  never,
  oneOf,
} from '../openai/fields/unsupported-fields.js';
import { CacheControl, SystemSchema, TurnsSchema } from './blocks.js';
import { MESSAGE_TOOL_FIELDS } from './tools.js';

const ThinkingConfig = Type.Union([
  Type.Object({
    type: Type.Literal('enabled'),
    /** Enforced where a text closes reasoning, which can be written for the model. */
    budget_tokens: Nullable(Count(0)),
    /** `omitted`: blocks of reasoning come without their text. */
    display: Nullable(Type.Enum(['summarized', 'omitted'])),
  }),
  Type.Object({
    type: Type.Literal('adaptive'),
    display: Nullable(Type.Enum(['summarized', 'omitted'])),
  }),
  Type.Object({ type: Type.Literal('between_tools') }),
  Type.Object({ type: Type.Literal('disabled') }),
]);

/** What the prompt is made of, and the form that the answer must have. */
const PROMPT_FIELDS = {
  model: COMMON_FIELDS.model,
  messages: TurnsSchema,
  system: SystemSchema,
  ...MESSAGE_TOOL_FIELDS,
  thinking: Nullable(ThinkingConfig),
  output_config: Nullable(
    Type.Object({
      effort: Nullable(Type.Enum(['low', 'medium', 'high', 'xhigh', 'max'])),
      format: Nullable(Type.Object({ type: Type.Literal('json_schema'), schema: Type.Object({}) })),
    }),
  ),
  cache_control: CacheControl,
  /** A conversation that the server keeps: always refused, by a code that clients know. */
  thread: Nullable(Type.Object({ type: Type.Enum(['create', 'continue']) })),
  /** vLLM's: variables of the chat template. */
  chat_template_kwargs: TEMPLATE_FIELDS.chat_template_kwargs,
};

export const CountTokensSchema = Type.Object(PROMPT_FIELDS);

export const MessageSchema = Type.Object({
  ...PROMPT_FIELDS,
  max_tokens: Count(1),
  stream: COMMON_FIELDS.stream,
  stop_sequences: Nullable(Type.Array(Type.String({ minLength: 1 }), { maxItems: 16 })),
  temperature: COMMON_FIELDS.temperature,
  top_p: COMMON_FIELDS.top_p,
  top_k: COMMON_FIELDS.top_k,
  /** For whom the client asks, for fair shares. */
  metadata: Nullable(Type.Object({ user_id: Nullable(Type.String()) })),
  // Of this server, as for chats.
  seed: COMMON_FIELDS.seed,
  min_p: COMMON_FIELDS.min_p,
  priority: COMMON_FIELDS.priority,
  cache_salt: COMMON_FIELDS.cache_salt,
});

export type PromptBody = Static<typeof CountTokensSchema>;
export type MessageBody = Static<typeof MessageSchema>;

/**
 * Fields that would change the answer, with the values that ask for nothing: Anthropic's, and those
 * of chats, which have other names here.
 */
export const UNSUPPORTED_MESSAGE_FIELDS: NeutralValues = {
  container: never,
  mcp_servers: isEmptyList,
  output_format: never,
  max_completion_tokens: never,
  n: oneOf(1),
  response_format: never,
  stop: isEmptyList,
};

/** Accepted without effect on the answer. */
export const IGNORED_MESSAGE_FIELDS = [
  'betas',
  'context_management',
  'diagnostics',
  'inference_geo',
  'service_tier',
  'speed',
] as const;

/**
 * What a request asks of the engine, in the words of chats. Has no field that was not checked.
 *
 * @param comesBack whether the client says that the prompt will be needed again
 */
export function toCommonFields(body: MessageBody, comesBack: boolean): Static<typeof CommonSchema> {
  const { temperature, top_p, top_k, min_p, seed, priority, cache_salt } = body;
  return {
    ...present({ temperature, top_p, top_k, min_p, seed, priority, cache_salt }),
    stop: body.stop_sequences ?? null,
    // Requests of one user, or of one session (Claude Code), begin alike.
    prompt_cache_key: body.metadata?.user_id ?? null,
    prompt_cache_retention: comesBack ? '24h' : null,
  };
}

/** Optional fields are absent or have a value; undefined is neither. */
function present<Fields extends object>(
  fields: Fields,
): {
  [Name in keyof Fields]?: Exclude<Fields[Name], undefined>;
} {
  const given = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given) as { [Name in keyof Fields]?: Exclude<Fields[Name], undefined> };
}
