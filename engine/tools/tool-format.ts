/** What a text with tool calls says, in order. */
export type ToolEvent =
  | { readonly kind: 'content'; readonly text: string }
  /** A call begins; its name is whole. */
  | { readonly kind: 'call'; readonly name: string }
  /** More of the last call's arguments: JSON text, as the model wrote it. */
  | { readonly kind: 'arguments'; readonly text: string }
  /** The last call is complete, or cut off by the text's end. */
  | { readonly kind: 'end' };

/**
 * Reads a text that comes in pieces. However it is cut, the events say the same, save that
 * `content` and `arguments` come in other pieces. Held back is what may still become a call; what
 * turns out to be none is content, and nothing of it is lost.
 *
 * A call that has begun cannot be taken back: arguments are passed on as they come, so they are
 * JSON only if the model wrote JSON.
 */
export interface ToolCallParser {
  push(piece: string): ToolEvent[];
  /** The text's end has come; call it once. */
  flush(): ToolEvent[];
}

/** A function that a request offers, as far as its calls go. */
export interface OfferedTool {
  readonly name: string;
  /** JSON schema of the arguments, an object. */
  readonly parameters: object;
  /** The arguments must follow the schema also where the model is free to call or not. */
  readonly strict: boolean;
}

/** Calls as the model writes them, for a grammar: `begin (call (separator call)*) end`. */
export interface CallLanguage {
  /** Regular expressions for what stands in place of calls, and before them. */
  readonly textAlone: string;
  readonly textBefore: string;
  readonly begin: string;
  readonly end: string;
  readonly separator: string;
  /** The text of one call around its arguments. */
  call(name: string): { readonly before: string; readonly after: string };
}

/** One way in which models write tool calls. */
export interface ToolFormat {
  readonly name: string;
  /** Texts that some tokenizers have as special tokens; the parser needs to see them. */
  readonly markers: readonly string[];
  readonly language: CallLanguage;
  createParser(tools: readonly OfferedTool[]): ToolCallParser;
  /** An id that the model's chat template accepts when the call comes back. */
  newCallId(): string;
}

/** OpenAI's rule for function names. */
export const FUNCTION_NAME = /^[a-zA-Z0-9_-]{1,64}$/;
