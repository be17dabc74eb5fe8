import type { FinishReason } from '../../scheduler/step-plan.js';
import type { FirstTokenTimes, SequenceOutput } from '../protocol/outputs.js';
import type { Tokenizer } from '../text/tokenizer.js';
import type { TextOptions } from './text-request.js';
import { type ChoiceDelta, NoText, VisibleText } from './visible-text.js';

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
      const { tokenIds, cachedTokens, tierTokens, times, predicted, finishReason } = output;
      if (finishReason === 'abort') {
        observer.output(0, cachedTokens);
        throw signal.reason;
      }
      const shown = text.take({ ...output, finishReason });
      last = { index, ...shown, ...(times && { times }), ...(predicted && { predicted }) };
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
