import type { TokenId } from '../../scheduler/ids.js';
import type { FinishReason } from '../../scheduler/step-plan.js';
import type {
  FirstTokenTimes,
  PredictedTokens,
  SequenceOutput,
  TokenLogprobs,
} from '../protocol/outputs.js';
import type { Tokenizer } from '../text/tokenizer.js';
import { HeldTokens, type ScoredToken } from './held-tokens.js';
import { type MessageEvent, MessageReader, NO_PARSERS } from './message-reader.js';
import type { TextOptions } from './text-request.js';

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
  /** See `SequenceOutput.predicted`. */
  readonly predicted?: PredictedTokens;
}

/** An output other than an abort. */
type TextPart = SequenceOutput & { readonly finishReason: FinishReason | null };

type Shown = Omit<ChoiceDelta, 'index'>;

/** Decides which text of one sequence's tokens is shown, and when. */
export class VisibleText {
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
export class NoText {
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
