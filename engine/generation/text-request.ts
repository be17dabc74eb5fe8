import type { TokenId } from '../../scheduler/ids.js';
import type { EngineRequest } from '../protocol/request.js';
import type { MessageParsers } from './message-reader.js';

/** One prompt of an API request: what the engine does with it, and how its choices are shown. */
export interface TextRequest {
  readonly engine: EngineRequest;
  readonly text: TextOptions;
}

export interface TextOptions {
  /** Stop strings, none of them empty. */
  readonly stop: readonly string[];
  /** Stop tokens that the request names; the answer reports the one that ends the text. */
  readonly namedStops: readonly TokenId[];
  /** Whether the output includes the stop string, or the stop token's text. */
  readonly includeStop: boolean;
  /** Stop strings that complete within this many first tokens are ordinary text. */
  readonly minTokens: number;
  /** Whether special tokens have no text. */
  readonly skipSpecialTokens: boolean;
  /** Prompt tokens that the output continues; empty for chats. */
  readonly prefixTokenIds: readonly TokenId[];
  /** See `DetokenizerOptions.opens`: false for a text under a grammar. */
  readonly opens?: boolean;
  /** Whether only the prompt is computed, and no output is shown. */
  readonly promptOnly: boolean;
  /** How the text is parsed into content, reasoning and calls; null when all of it is content. */
  readonly message: MessageForm | null;
}

/** How the text of a request's choices is parsed. */
export interface MessageForm {
  /** Special tokens whose text the parsers need. */
  readonly shownTokens: ReadonlySet<TokenId>;
  /** Called for each choice: parsers hold its state. */
  createParsers(): MessageParsers;
}

/** All text up to a stop token. */
export const PLAIN_TEXT: TextOptions = {
  stop: [],
  namedStops: [],
  includeStop: false,
  minTokens: 0,
  skipSpecialTokens: true,
  prefixTokenIds: [],
  promptOnly: false,
  message: null,
};
