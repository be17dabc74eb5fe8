import type { TokenId } from '../../scheduler/ids.js';
import type { Spans } from './spans.js';
import type { Frame } from './tokenizer/post-processor.js';

/** Text to tokens and back. Implementations are stateless: one serves all requests. */
export interface Tokenizer {
  /**
   * Tokens that are written out in the text (`<|im_end|>`) are recognized, unless the options
   * exclude them.
   */
  encode(text: string, options: EncodeOptions): TokenId[];
  /** Ids outside the vocabulary have no text. */
  decode(ids: readonly TokenId[], options: { skipSpecialTokens: boolean }): string;
  /** A decoder for one stream of tokens. */
  createDetokenizer(options: DetokenizerOptions): Detokenizer;
  /**
   * UTF-8 bytes of a token inside a text; possibly a part of a character. Empty for ids outside the
   * vocabulary.
   */
  bytesOf(id: TokenId): Uint8Array;
  /** The id of an entry of the vocabulary, in the vocabulary's spelling. */
  tokenId(token: string): TokenId | undefined;
  /** The entry of an id, in the vocabulary's spelling (`Ġthe`); '' outside the vocabulary. */
  entryOf(id: TokenId): string;
  /**
   * Tokens that are found in the text itself, before any other step; the value tells whether the
   * token is special.
   */
  readonly addedTokens: ReadonlyMap<TokenId, boolean>;
  /** One more than the largest id. */
  readonly vocabSize: number;
  /** Maximum length of one token's text in UTF-16 units; Infinity when unknown. */
  readonly longestToken: number;
  /** The special tokens that it puts around texts; absent: none. */
  readonly frame?: Frame;
  /**
   * Whether added tokens may swallow adjacent white space (`lstrip`, `rstrip`), so that a text's
   * length bounds nothing.
   */
  readonly dropsSpace?: boolean;
}

export interface EncodeOptions {
  /** Whether the tokenizer adds its special tokens, such as a beginning of sequence. */
  readonly addSpecialTokens: boolean;
  /** Absent: all tokens are recognized everywhere. */
  readonly guard?: Guard;
}

/** Where control tokens are not recognized: text that looks like one stays text there. */
export interface Guard {
  readonly client: Spans;
  readonly control: ReadonlySet<number>;
}

export interface DetokenizerOptions {
  /** Whether special tokens have no text, except those of `shown`. */
  readonly skipSpecialTokens: boolean;
  readonly shown?: ReadonlySet<TokenId>;
  /**
   * Prompt tokens that the text continues: a word then keeps the leading space that it would lose
   * at the beginning of a text.
   */
  readonly before?: readonly TokenId[];
  /**
   * False shows the first token as it would be inside a text. Used with grammars, which have only
   * one text for each token. Absent: the first word loses the space that tokenizers put before it.
   */
  readonly opens?: boolean;
}

/**
 * Decodes one stream of tokens as they arrive. All pieces and the final flush together are the text
 * of the whole sequence. Only text that the next token can still change is held back.
 */
export interface Detokenizer {
  push(id: TokenId): string;
  /** Returns what was held back; call it once, at the end. */
  flush(): string;
}
