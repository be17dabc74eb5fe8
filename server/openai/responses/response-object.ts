import type { Usage } from '../answer.js';
import type { OutputItem } from './items.js';

/** What a response repeats of its request; the same from its first event to its last. */
export interface ResponseHead {
  readonly id: string;
  readonly background: boolean;
  /** Seconds since 1970. */
  readonly created_at: number;
  readonly model: string;
  readonly instructions: string | null;
  readonly max_output_tokens: number | null;
  readonly max_tool_calls: number | null;
  readonly metadata: Readonly<Record<string, string>>;
  readonly parallel_tool_calls: boolean;
  readonly previous_response_id: string | null;
  readonly prompt_cache_key: string | null;
  readonly reasoning: { readonly effort: string | null; readonly summary: string | null };
  readonly safety_identifier: string | null;
  readonly store: boolean;
  readonly temperature: number;
  readonly text: object;
  readonly tool_choice: unknown;
  readonly tools: readonly object[];
  readonly top_logprobs: number;
  readonly top_p: number;
  readonly truncation: 'auto' | 'disabled';
  readonly user: string | null;
}

export interface ResponseUsage {
  readonly input_tokens: number;
  readonly input_tokens_details: { readonly cached_tokens: number };
  readonly output_tokens: number;
  readonly output_tokens_details: { readonly reasoning_tokens: number };
  readonly total_tokens: number;
}

export interface ResponseError {
  readonly code: 'server_error' | 'rate_limit_exceeded' | 'invalid_prompt';
  readonly message: string;
}

/** How far a response has come. */
export interface ResponseState {
  readonly status: 'in_progress' | 'completed' | 'incomplete' | 'failed' | 'cancelled';
  /** Of an incomplete response. */
  readonly incomplete_details?: { readonly reason: 'max_output_tokens' | 'repetition' };
  readonly output: readonly OutputItem[];
  readonly usage: ResponseUsage | null;
  readonly error: ResponseError | null;
  readonly completed_at: number | null;
}

export type ResponseObject = ReturnType<typeof responseObject>;

/**
 * A response in OpenAI's form. Parts of it that Octavo never fills have the value that stands for
 * nothing.
 */
export function responseObject(head: ResponseHead, state: ResponseState) {
  return {
    object: 'response' as const,
    ...head,
    ...state,
    incomplete_details: state.incomplete_details ?? null,
    access_programs: null,
    service_tier: 'default',
  };
}

export function responseUsage(usage: Usage): ResponseUsage {
  return {
    input_tokens: usage.prompt_tokens,
    input_tokens_details: usage.prompt_tokens_details,
    output_tokens: usage.completion_tokens,
    output_tokens_details: usage.completion_tokens_details,
    total_tokens: usage.total_tokens,
  };
}
