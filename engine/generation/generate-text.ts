import type { TokenId } from '../../scheduler/ids.js';
import type { EngineOutput } from '../client/engine-port.js';
import type { FirstTokenTimes, TokenLogprobs } from '../protocol/outputs.js';
import type { EngineRequest } from '../protocol/request.js';
import type { Tokenizer } from '../text/tokenizer.js';
import { HeldTokens, type ScoredToken } from './held-tokens.js';
import {
  type MessageEvent,
  type MessageParsers,
  MessageReader,
  NO_PARSERS,
} from './message-reader.js';

/** An engine request, and what of its text is shown. */
export interface TextRequest extends EngineRequest, TextOptions {}

export interface TextOptions {
  /** None of them empty. */
  readonly stop: readonly string[];
  /** Stop tokens that the request itself names: of one that ends the text, the answer tells. */
  readonly namedStops: readonly TokenId[];
  /** Leaves the stop string, or the stop token's text, in the output. */
  readonly includeStop: boolean;
  /** Stop strings that are complete with one of so many first tokens are text. */
  readonly minTokens: number;
  /** Special tokens give no text. */
  readonly skipSpecialTokens: boolean;
  /** Tokens that the text goes on behind; none for a text of its own, such as a chat's answer. */
  readonly before: readonly TokenId[];
  /** See `DetokenizerOptions.opens`: false for a text that a grammar holds. */
  readonly opens?: boolean;
  /** Of the completion nothing is shown: only the prompt was wanted. */
  readonly promptOnly: boolean;
  /** What else the text is read for; null: it is all content. */
  readonly message: MessageForm | null;
}

/** How a completion ends, for those who count. */
export type EndReason = 'stop' | 'length' | 'abort' | 'error';

/** Follows one completion. */
export interface CompletionObserver {
  output(tokens: number, cachedTokens: number, times?: FirstTokenTimes): void;
  /** Called once, whatever happens. */
  end(reason: EndReason): void;
}

/** How the text of a request's completions is read. */
export interface MessageForm {
  /** Special tokens whose text the parsers need. */
  readonly shownTokens: ReadonlySet<TokenId>;
  /** Called for each completion: parsers hold its state. */
  createParsers(): MessageParsers;
}

/** All text until a stop token. */
export const PLAIN_TEXT: TextOptions = {
  stop: [],
  namedStops: [],
  includeStop: false,
  minTokens: 0,
  skipSpecialTokens: true,
  before: [],
  promptOnly: false,
  message: null,
};

export interface TextOutput {
  /** New content; may be empty while some is held back. */
  readonly text: string;
  /** The same with all that is no content, in order. */
  readonly events: readonly MessageEvent[];
  /** Of `tokens`, those of the reasoning. */
  readonly reasoningTokens: number;
  /** Tokens generated since the last output, the stop token included. */
  readonly tokens: number;
  /** The same as ids. */
  readonly tokenIds: readonly TokenId[];
  /** Sum of the log-probabilities of these tokens; 0 unless they were asked for. */
  readonly logprobSum: number;
  /** Tokens whose text is now shown, in their order; none unless log-probabilities were asked for. */
  readonly scored: readonly ScoredToken[];
  /** Of each prompt token but the first, with the first output; absent unless asked for. */
  readonly promptLogprobs?: readonly TokenLogprobs[];
  readonly finishReason: 'stop' | 'length' | 'abort' | null;
  /** The stop string, or the stop token that the request names, that has ended the text; null: nothing of the kind has. */
  readonly stopReason: string | TokenId | null;
  readonly cachedTokens: number;
  /** With the first output that has tokens. */
  readonly times?: FirstTokenTimes;
}

/**
 * Turns the tokens of one completion into text. A stop string ends the engine's work, too: tokens behind it are
 * neither shown nor counted, even if the engine was already further.
 *
 * @throws OctavoError what the engine throws
 */
export async function* generateText(
  outputs: AsyncIterable<EngineOutput>,
  tokenizer: Tokenizer,
  options: TextOptions,
  observer: CompletionObserver,
): AsyncGenerator<TextOutput, void> {
  const text = options.promptOnly ? new NoText() : new VisibleText(tokenizer, options);
  // A reader that leaves early does what a disconnect does.
  let end: EndReason = 'abort';
  let last: TextOutput | null = null;
  try {
    for await (const output of outputs) {
      last = output.times ? { ...text.take(output), times: output.times } : text.take(output);
      // A token that is not shown has been generated all the same.
      const tokens = options.promptOnly ? output.tokenIds.length : last.tokens;
      observer.output(tokens, last.cachedTokens, output.times);
      if (last.finishReason !== null) {
        end = last.finishReason;
        break;
      }
      yield last;
    }
    // Yielded after the loop: the engine has stopped by then, however slow the reader is.
    if (last !== null && last.finishReason !== null) yield last;
  } catch (error) {
    end = 'error';
    throw error;
  } finally {
    observer.end(end);
  }
}

/** What of one completion's tokens is shown, and when. */
class VisibleText {
  readonly #options: TextOptions;
  readonly #detokenizer: ReturnType<Tokenizer['createDetokenizer']>;
  readonly #reader: MessageReader;
  readonly #held = new HeldTokens();
  #generated = 0;
  /** Length of the text shown so far. */
  #shown = 0;

  constructor(tokenizer: Tokenizer, options: TextOptions) {
    const { skipSpecialTokens, before, message, opens = true } = options;
    this.#options = options;
    this.#detokenizer = tokenizer.createDetokenizer({
      skipSpecialTokens,
      before,
      opens,
      ...(message ? { shown: message.shownTokens } : {}),
    });
    this.#reader = new MessageReader(options, message?.createParsers() ?? NO_PARSERS);
  }

  take(output: EngineOutput): TextOutput {
    const { tokenIds, logprobs, cachedTokens, promptLogprobs } = output;
    const reader = this.#reader;
    const reasoningBefore = reader.reasoningTokens;
    let { finishReason } = output;
    let tokens = 0;
    let logprobSum = 0;
    for (const id of tokenIds) {
      const scores = logprobs?.[tokens];
      tokens++;
      this.#generated++;
      logprobSum += scores?.logprob ?? 0;
      const isStopToken = finishReason === 'stop' && tokens === tokenIds.length;
      if (isStopToken && !this.#options.includeStop) break;
      const piece = this.#detokenizer.push(id);
      if (scores) this.#held.add(id, scores, piece);
      reader.push(piece, this.#mayStop);
      if (reader.stopped) break;
    }
    if (!reader.stopped && finishReason !== null) {
      reader.flush(this.#detokenizer.flush(), this.#mayStop);
    }
    if (reader.stopped) finishReason = 'stop';
    const last = tokenIds.at(-1);
    const isNamed =
      finishReason === 'stop' &&
      !reader.stopped &&
      last !== undefined &&
      this.#options.namedStops.includes(last);
    const events = reader.take();
    const text = contentOf(events);
    this.#shown += text.length;
    const shown = {
      text,
      events,
      tokens,
      tokenIds: tokenIds.slice(0, tokens),
      reasoningTokens: reader.reasoningTokens - reasoningBefore,
      logprobSum,
      scored: this.#takeScored(finishReason !== null && !reader.stopped),
      finishReason,
      stopReason: isNamed ? last : reader.stopString,
      cachedTokens,
    };
    return promptLogprobs ? { ...shown, promptLogprobs } : shown;
  }

  get #mayStop(): boolean {
    return this.#generated > this.#options.minTokens;
  }

  /** A text that is read for calls or reasoning is not shown as it stands: its tokens go out as they come. */
  #takeScored(isWhole: boolean): ScoredToken[] {
    if (isWhole || this.#options.message !== null) return this.#held.flush();
    return this.#held.release(this.#shown);
  }
}

function contentOf(events: readonly MessageEvent[]): string {
  return events.map((event) => (event.kind === 'content' ? event.text : '')).join('');
}

/** Of a prompt that is only computed. */
class NoText {
  take({ cachedTokens, promptLogprobs, finishReason }: EngineOutput): TextOutput {
    const shown = {
      text: '',
      events: [],
      tokens: 0,
      tokenIds: [],
      reasoningTokens: 0,
      logprobSum: 0,
      scored: [],
      finishReason,
      stopReason: null,
      cachedTokens,
    } as const;
    return promptLogprobs ? { ...shown, promptLogprobs } : shown;
  }
}
