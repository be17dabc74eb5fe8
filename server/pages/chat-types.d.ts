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

export type Part =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'image_url'; readonly image_url: { readonly url: string } };

export interface Message {
  readonly role: 'system' | 'user' | 'assistant' | 'tool';
  readonly content: string | readonly Part[];
  readonly tool_calls?: readonly ToolCall[];
  readonly tool_call_id?: string;
}

/** A file of a question. */
export interface Attachment {
  readonly kind: 'text' | 'image';
  readonly name: string;
  /** The text, or a picture as a `data:` URL. */
  readonly content: string;
}

/** What the page shows as one message. */
export type Turn = QuestionTurn | ResultTurn | AnswerTurn;

export interface QuestionTurn {
  readonly role: 'user';
  readonly content: string;
  readonly files: readonly Attachment[];
}

/** What a tool has given; shown with the call. */
export interface ResultTurn {
  readonly role: 'tool';
  readonly content: string;
  readonly callId: string;
  readonly name: string;
}

export interface AnswerTurn {
  readonly role: 'assistant';
  readonly content: string;
  readonly reasoning: string;
  /** Milliseconds from the first to the last of it. */
  readonly reasoningMs: number;
  readonly calls: readonly ToolCall[];
  readonly figures: readonly string[];
  readonly error: string | null;
}

/** A chat as the list shows it. */
export interface ChatHead {
  readonly id: string;
  readonly title: string;
  /** Milliseconds since 1970. */
  readonly changedAt: number;
}

export interface Chat extends ChatHead {
  readonly turns: readonly Turn[];
}

/** One answer while it is written; times are those of `performance.now()`. */
export interface Run {
  readonly signal: AbortSignal;
  start: number;
  first: number;
  last: number;
  usage: Usage | null;
  reason: string | null;
}

/** A line of `/v1/models`. */
export interface ListedModel {
  readonly id: string;
  /** Tokens; null: not known before it was loaded. */
  readonly max_model_len: number | null;
  readonly state: 'unloaded' | 'loading' | 'loaded' | 'unloading' | 'failed';
}
