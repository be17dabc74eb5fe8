import type { TokenId } from '../../scheduler/ids.js';
import type { FinishReason } from '../../scheduler/step-plan.js';
import type { FirstTokenTimes, SequenceOutput, TokenLogprobs } from '../protocol/outputs.js';
import type { EngineRequest } from '../protocol/request.js';
import type { Tokenizer } from '../text/tokenizer.js';
import { HeldTokens, type ScoredToken } from './held-tokens.js';
import {
  type MessageEvent,
  type MessageParsers,
  MessageReader,
  NO_PARSERS,
} from './message-reader.js';

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

/** How a sequence ends, for metrics. */
export type EndReason = FinishReason | 'abort' | 'error';

/** Observes one sequence. */
export interface SequenceObserver {
  /**
   * @param cachedTokens prompt tokens that were not computed, as in `SequenceOutput`
   * @param tierTokens those of them that came from a tier behind the KV cache
   */
  output(tokens: number, cachedTokens: number, times?: FirstTokenTimes, tierTokens?: number): void;
  /** Called exactly once. */
  end(reason: EndReason): void;
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

/** New text of one choice, from new tokens of its sequence. */
export interface ChoiceDelta {
  /** Index of the choice among all choices of an API request. */
  readonly index: number;
  /** New content; may be empty while text is held back. */
  readonly text: string;
  /** All new events in order: content, reasoning and calls. */
  readonly events: readonly MessageEvent[];
  /** How many of `tokens` are reasoning. */
  readonly reasoningTokens: number;
  /** Tokens generated since the last delta, the stop token included. */
  readonly tokens: number;
  /** Their ids. */
  readonly tokenIds: readonly TokenId[];
  /** Sum of these tokens' log-probabilities; 0 unless they were asked for. */
  readonly logprobSum: number;
  /** Tokens whose text is now shown, in order; empty unless log-probabilities were asked for. */
  readonly scored: readonly ScoredToken[];
  /** For each prompt token except the first, in the first delta; absent unless asked for. */
  readonly promptLogprobs?: readonly TokenLogprobs[];
  readonly finishReason: FinishReason | null;
  /** The stop string, or the request's stop token, that ended the text; null when neither did. */
  readonly stopReason: string | TokenId | null;
  readonly cachedTokens: number;
  /** Present in the first delta that has tokens. */
  readonly times?: FirstTokenTimes;
}

/** The choice that a text belongs to, and its observer. */
export interface ChoiceContext {
  /** Index of the choice among all choices of an API request. */
  readonly index: number;
  /** Aborts the sequence; the engine has the same signal. */
  readonly signal: AbortSignal;
  readonly observer: SequenceObserver;
}

/**
 * Converts the tokens of one sequence to the text of a choice. A stop string ends the engine's
 * work, too: tokens after it are neither shown nor counted, even if the engine has already computed
 * some.
 *
 * @throws OctavoError what the engine throws; the signal's reason once that is aborted
 */
export async function* generateText(
  outputs: AsyncIterable<SequenceOutput>,
  tokenizer: Tokenizer,
  options: TextOptions,
  { index, signal, observer }: ChoiceContext,
): AsyncGenerator<ChoiceDelta, void> {
  const text = options.promptOnly ? new NoText() : new VisibleText(tokenizer, options);
  // A reader that leaves early has the same effect as a disconnect.
  let end: EndReason = 'abort';
  let last: ChoiceDelta | null = null;
  try {
    for await (const output of outputs) {
      const { tokenIds, cachedTokens, tierTokens, times, finishReason } = output;
      if (finishReason === 'abort') {
        observer.output(0, cachedTokens);
        throw signal.reason;
      }
      const shown = text.take({ ...output, finishReason });
      last = times ? { index, ...shown, times } : { index, ...shown };
      // A token that is not shown was still generated.
      const numTokens = options.promptOnly ? tokenIds.length : last.tokens;
      observer.output(numTokens, cachedTokens, times, tierTokens);
      if (last.finishReason !== null) {
        end = last.finishReason;
        break;
      }
      yield last;
    }
    // Yielded after the loop, when the engine has stopped, however slow the reader is.
    if (last !== null && last.finishReason !== null) yield last;
  } catch (error) {
    if (!signal.aborted || error !== signal.reason) end = 'error';
    throw error;
  } finally {
    observer.end(end);
  }
}

/** An output other than an abort. */
type TextPart = SequenceOutput & { readonly finishReason: FinishReason | null };

type Shown = Omit<ChoiceDelta, 'index'>;

/** Decides which text of one sequence's tokens is shown, and when. */
class VisibleText {
  readonly #options: TextOptions;
  readonly #detokenizer: ReturnType<Tokenizer['createDetokenizer']>;
  readonly #reader: MessageReader;
  readonly #held = new HeldTokens();
  #generated = 0;
  /** Length of the text shown so far. */
  #shown = 0;

  constructor(tokenizer: Tokenizer, options: TextOptions) {
    const { skipSpecialTokens, prefixTokenIds, message, opens = true } = options;
    this.#options = options;
    this.#detokenizer = tokenizer.createDetokenizer({
      skipSpecialTokens,
      before: prefixTokenIds,
      opens,
      ...(message ? { shown: message.shownTokens } : {}),
    });
    this.#reader = new MessageReader(options, message?.createParsers() ?? NO_PARSERS);
  }

  take(output: TextPart): Shown {
    const { tokenIds, logprobs, cachedTokens, promptLogprobs, stopToken } = output;
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
      const isStopToken = stopToken !== undefined && tokens === tokenIds.length;
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
    const isNamed =
      !reader.stopped && stopToken !== undefined && this.#options.namedStops.includes(stopToken);
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
      stopReason: isNamed ? stopToken : reader.stopString,
      cachedTokens,
    };
    return promptLogprobs ? { ...shown, promptLogprobs } : shown;
  }

  get #mayStop(): boolean {
    return this.#generated > this.#options.minTokens;
  }

  /**
   * A text that is parsed for calls or reasoning is not shown literally, so its tokens are passed
   * on as they arrive.
   */
  #takeScored(isWhole: boolean): ScoredToken[] {
    if (isWhole || this.#options.message !== null) return this.#held.flush();
    return this.#held.release(this.#shown);
  }
}

function contentOf(events: readonly MessageEvent[]): string {
  return events.map((event) => (event.kind === 'content' ? event.text : '')).join('');
}

/** For a prompt that is only computed. */
class NoText {
  take({ cachedTokens, promptLogprobs, finishReason }: TextPart): Shown {
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
