import type { GenerationRecord } from '../request-record.js';
import type { PromptBody } from './message-fields.js';

/** What a request's `cache_control` marks say. */
export interface Caching {
  /** Whether there is any mark. */
  readonly isAsked: boolean;
  /** Whether one of them asks for an hour, instead of the usual five minutes. */
  readonly isForAnHour: boolean;
}

/**
 * All prompts are cached, block by block, whether they are marked or not. A mark tells that its
 * prefix will be needed again, and that the client counts what it has added to the cache. It pins
 * nothing: pins are for those who run the server, and each holds room that all clients share.
 */
export function cachingOf(body: PromptBody): Caching {
  const { system, messages, tools } = body;
  const blocks: readonly object[] = [
    ...(Array.isArray(system) ? system : []),
    ...messages.flatMap(({ content }): readonly object[] =>
      typeof content === 'string' ? [] : content,
    ),
    ...(tools ?? []),
  ];
  const marks = [body, ...blocks]
    .map((place) => ('cache_control' in place ? (place as PromptBody).cache_control : null))
    .filter((mark) => mark !== null && mark !== undefined);
  return { isAsked: marks.length > 0, isForAnHour: marks.some(({ ttl }) => ttl === '1h') };
}

/** Tokens of a message, in Anthropic's words. */
export interface MessageUsage {
  /** Of the prompt, without those of the next two fields. */
  readonly input_tokens: number;
  readonly cache_creation_input_tokens: number;
  readonly cache_read_input_tokens: number;
  readonly cache_creation: {
    readonly ephemeral_5m_input_tokens: number;
    readonly ephemeral_1h_input_tokens: number;
  };
  readonly output_tokens: number;
  readonly output_tokens_details: { readonly thinking_tokens: number };
  readonly server_tool_use: null;
  readonly service_tier: 'standard';
  readonly inference_geo: null;
  readonly speed: null;
}

/**
 * @param blockSize tokens of a block of the prefix cache, which holds whole blocks only; null when
 *   nothing is cached
 */
export function messageUsage(
  { promptTokens, cachedTokens, completionTokens, reasoningTokens }: GenerationRecord,
  { isAsked, isForAnHour }: Caching,
  blockSize: number | null,
): MessageUsage {
  const cachable = blockSize === null || !isAsked ? 0 : promptTokens - (promptTokens % blockSize);
  const created = Math.max(0, cachable - cachedTokens);
  return {
    input_tokens: promptTokens - cachedTokens - created,
    cache_creation_input_tokens: created,
    cache_read_input_tokens: cachedTokens,
    cache_creation: {
      ephemeral_5m_input_tokens: isForAnHour ? 0 : created,
      ephemeral_1h_input_tokens: isForAnHour ? created : 0,
    },
    output_tokens: completionTokens,
    output_tokens_details: { thinking_tokens: reasoningTokens },
    server_tool_use: null,
    service_tier: 'standard',
    inference_geo: null,
    speed: null,
  };
}
