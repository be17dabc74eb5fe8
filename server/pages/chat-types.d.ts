// What the chat page keeps, and what it reads of the API's chunks: for the type check only.

export interface Delta {
  readonly content?: string | null;
  readonly reasoning_content?: string | null;
  readonly tool_calls?: readonly {
    readonly index: number;
    readonly id?: string;
    readonly function?: { readonly name?: string; readonly arguments?: string };
  }[];
}

export interface Chunk {
  readonly error?: { readonly message: string };
  readonly choices: readonly { readonly delta: Delta; readonly finish_reason: string | null }[];
  readonly usage?: Usage | null;
}

export interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly prompt_tokens_details?: { readonly cached_tokens: number };
}

export interface ToolCall {
  readonly id: string;
  readonly type: 'function';
  readonly function: { name: string; arguments: string };
}

export interface Message {
  readonly role: 'system' | 'user' | 'assistant' | 'tool';
  readonly content: string;
  readonly tool_calls?: readonly ToolCall[];
  readonly tool_call_id?: string;
}

/** What the page shows as one message. */
export type Turn =
  | { readonly role: 'user'; readonly content: string }
  | {
      readonly role: 'tool';
      readonly content: string;
      readonly callId: string;
      readonly name: string;
    }
  | AnswerTurn;

export interface AnswerTurn {
  readonly role: 'assistant';
  readonly content: string;
  readonly reasoning: string;
  readonly calls: readonly ToolCall[];
  readonly figures: readonly string[];
  readonly error: string | null;
}

/** One answer while it is written; times are those of `performance.now()`. */
export interface Run {
  readonly controller: AbortController;
  start: number;
  first: number;
  last: number;
  usage: Usage | null;
  reason: string | null;
}
