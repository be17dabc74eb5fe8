import type { StructurePart } from '../protocol/request.js';

/** Events of a text with tool calls, in order. */
export type ToolEvent =
  | { readonly kind: 'content'; readonly text: string }
  /** A call begins; its name is complete. */
  | { readonly kind: 'call'; readonly name: string }
  /** A further piece of the last call's arguments: JSON text, as the model wrote it. */
  | { readonly kind: 'arguments'; readonly text: string }
  /** The last call is complete, or the text ended inside it. */
  | { readonly kind: 'end' };

/**
 * Reads a text that arrives in pieces. However it is split, the events are the same, except that
 * `content` and `arguments` come in other pieces. Text that may still become a call is held back;
 * if it does not, it becomes content, and no text is lost.
 *
 * A call that has begun cannot be taken back: arguments are passed on as they arrive, so they are
 * JSON only if the model wrote JSON.
 */
export interface ToolCallParser {
  push(piece: string): ToolEvent[];
  /** Call once, at the end of the text. */
  flush(): ToolEvent[];
}

/** A function that a request offers to the model. */
export interface OfferedTool {
  readonly name: string;
  /** JSON schema of the arguments, an object. */
  readonly parameters: object;
  /** Whether arguments must follow the schema even when the model may choose not to call. */
  readonly strict: boolean;
  /** Lark grammar of its only argument, a text; absent: the schema says all. */
  readonly lark?: string;
}

/** The syntax of calls, for grammars: `begin (call (separator call)*) end`. */
export interface CallLanguage {
  /** Regular expressions for text instead of calls, and before calls. */
  readonly textAlone: string;
  readonly textBefore: string;
  readonly begin: string;
  readonly end: string;
  readonly separator: string;
  /** The text of one call before and after its arguments. */
  call(name: string): { readonly before: string; readonly after: string };
  /**
   * Arguments that follow a schema, in a form that is no JSON object; null when a grammar cannot
   * hold the model to its form. Absent: a JSON object.
   *
   * @param lark grammar of the only argument; absent: the schema says all
   */
  readonly arguments?: ((parameters: object, lark?: string) => StructurePart[]) | null;
}

/** One way in which models write tool calls. */
export interface ToolFormat {
  readonly name: string;
  /** Texts that are special tokens in some tokenizers; the parser needs them in the text. */
  readonly markers: readonly string[];
  readonly language: CallLanguage;
  createParser(tools: readonly OfferedTool[]): ToolCallParser;
  /** An id that the model's chat template accepts in later turns. */
  newCallId(): string;
}

/** OpenAI's rule for function names. */
export const FUNCTION_NAME = /^[a-zA-Z0-9_-]{1,64}$/;
