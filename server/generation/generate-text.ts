import type { EngineRequest, TokenLogprobs } from '../../engine/core/protocol.js';
import type { EngineOutput } from '../engine-port.js';
import type { CompletionObserver, EndReason } from '../metrics/request-metrics.js';
import { StopMatcher } from '../text/stop-matcher.js';
import type { Tokenizer } from '../text/tokenizer.js';
import { HeldTokens, type ScoredToken } from './held-tokens.js';

/** An engine request, and what of its text is shown. */
export interface TextRequest extends EngineRequest, TextOptions {}

export interface TextOptions {
  /** None of them empty. */
  readonly stop: readonly string[];
  /** Leaves the stop string, or the stop token's text, in the output. */
  readonly includeStop: boolean;
  /** Stop strings that are complete with one of so many first tokens are text. */
  readonly minTokens: number;
  /** Special tokens give no text. */
  readonly skipSpecialTokens: boolean;
  /** Of the completion nothing is shown: only the prompt was wanted. */
  readonly promptOnly: boolean;
}

/** All text until a stop token. */
export const PLAIN_TEXT: TextOptions = {
  stop: [],
  includeStop: false,
  minTokens: 0,
  skipSpecialTokens: true,
  promptOnly: false,
};

export interface TextOutput {
  /** New text; may be empty while some is held back. */
  readonly text: string;
  /** Tokens generated since the last output, the stop token included. */
  readonly tokens: number;
  /** Sum of the log-probabilities of these tokens; 0 unless they were asked for. */
  readonly logprobSum: number;
  /** Tokens whose text is now shown, in their order; none unless log-probabilities were asked for. */
  readonly scored: readonly ScoredToken[];
  /** Of each prompt token but the first, with the first output; absent unless asked for. */
  readonly promptLogprobs?: readonly TokenLogprobs[];
  readonly finishReason: 'stop' | 'length' | 'abort' | null;
  readonly cachedTokens: number;
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
      last = text.take(output);
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
  readonly #matcher: StopMatcher;
  readonly #held = new HeldTokens();
  #generated = 0;
  /** Length of the text shown so far. */
  #shown = 0;

  constructor(tokenizer: Tokenizer, options: TextOptions) {
    const { stop, includeStop, skipSpecialTokens } = options;
    this.#options = options;
    this.#detokenizer = tokenizer.createDetokenizer({ skipSpecialTokens });
    this.#matcher = new StopMatcher(stop, { includeStop });
  }

  take(output: EngineOutput): TextOutput {
    const { tokenIds, logprobs, cachedTokens, promptLogprobs } = output;
    let { finishReason } = output;
    let text = '';
    let tokens = 0;
    let logprobSum = 0;
    let stopped = false;
    const show = (piece: string): void => {
      const mayStop = this.#generated > this.#options.minTokens;
      const result = this.#matcher.push(piece, mayStop);
      text += result.text;
      stopped = result.stopped;
    };
    for (const id of tokenIds) {
      const scores = logprobs?.[tokens];
      tokens++;
      this.#generated++;
      logprobSum += scores?.logprob ?? 0;
      const isStopToken = finishReason === 'stop' && tokens === tokenIds.length;
      if (isStopToken && !this.#options.includeStop) break;
      const piece = this.#detokenizer.push(id);
      if (scores) this.#held.add(id, scores, piece);
      show(piece);
      if (stopped) break;
    }
    if (!stopped && finishReason !== null) show(this.#detokenizer.flush());
    if (stopped) finishReason = 'stop';
    else if (finishReason !== null) text += this.#matcher.flush();
    this.#shown += text.length;
    const isWhole = finishReason !== null && !stopped;
    const scored = isWhole ? this.#held.flush() : this.#held.release(this.#shown);
    const shown = { text, tokens, logprobSum, scored, finishReason, cachedTokens };
    return promptLogprobs ? { ...shown, promptLogprobs } : shown;
  }
}

/** Hides the one token that the engine must generate. */
class NoText {
  take({ cachedTokens, promptLogprobs, finishReason }: EngineOutput): TextOutput {
    const shown = {
      text: '',
      tokens: 0,
      logprobSum: 0,
      scored: [],
      finishReason: finishReason === 'stop' ? 'length' : finishReason,
      cachedTokens,
    } as const;
    return promptLogprobs ? { ...shown, promptLogprobs } : shown;
  }
}
