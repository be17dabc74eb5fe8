import type { TokenId } from '../../scheduler/ids.js';
import type { Spans } from './spans.js';

/** Text to tokens and back. Implementations are stateless: one serves all requests. */
export interface Tokenizer {
  /**
   * Tokens that are written out in the text (`<|im_end|>`) are recognized, unless the options say
   * otherwise.
   */
  encode(text: string, options: EncodeOptions): TokenId[];
  /** Ids outside the vocabulary give no text. */
  decode(ids: readonly TokenId[], options: { skipSpecialTokens: boolean }): string;
  /** A decoder for one stream of tokens. */
  createDetokenizer(options: DetokenizerOptions): Detokenizer;
  /**
   * What a token means inside of a text, in UTF-8; may be a part of a character. Empty for ids
   * outside the vocabulary.
   */
  bytesOf(id: TokenId): Uint8Array;
  /** The id of an entry of the vocabulary, written as it stands there. */
  tokenId(token: string): TokenId | undefined;
  /**
   * The entry of the vocabulary behind an id, written as it stands there (`Ġthe`); '' outside the
   * vocabulary.
   */
  entryOf(id: TokenId): string;
  /**
   * Tokens that are found in a text itself, before anything else looks at it; of each, whether it
   * is special.
   */
  readonly addedTokens: ReadonlyMap<TokenId, boolean>;
  /** One more than the largest id. */
  readonly vocabSize: number;
  /** UTF-16 units that the text of one token has at most; Infinity where nobody knows. */
  readonly longestToken: number;
  /** White space beside some tokens goes without one, however much it is. */
  readonly dropsSpace?: boolean;
}

export interface EncodeOptions {
  /** The tokenizer adds its own, such as a beginning of sequence. */
  readonly addSpecialTokens: boolean;
  /** Absent: all tokens are recognized everywhere. */
  readonly guard?: Guard;
}

/** Which tokens are not recognized, and where: what looks like one is text there. */
export interface Guard {
  readonly client: Spans;
  readonly control: ReadonlySet<number>;
}

export interface DetokenizerOptions {
  /** Special tokens give no text, except those of `shown`. */
  readonly skipSpecialTokens: boolean;
  readonly shown?: ReadonlySet<TokenId>;
  /**
   * Tokens that the text goes on behind: a word keeps the leading space that it would lose at the
   * beginning of a text.
   */
  readonly before?: readonly TokenId[];
  /**
   * False: the first token is shown as it would be inside of a text. So is a text that a grammar
   * holds, which knows of each token one text only. Absent: the first word loses the space that
   * tokenizers put before it.
   */
  readonly opens?: boolean;
}

/**
 * Decodes one stream of tokens as they come. The pieces and the final flush together are the text
 * of the whole sequence; only what the next token can still change is held back.
 */
export interface Detokenizer {
  push(id: TokenId): string;
  /** What was held back; call it once, at the end. */
  flush(): string;
}
