import type { EngineRequest } from '../../engine/core/protocol.js';
import type { EngineOutput } from '../engine-port.js';
import type { CompletionObserver, EndReason } from '../metrics/request-metrics.js';
import { StopMatcher } from '../text/stop-matcher.js';
import type { Tokenizer } from '../text/tokenizer.js';

/** An engine request, and what of its text is shown. */
export interface TextRequest extends EngineRequest, TextOptions {}

export interface TextOptions {
  /** None of them empty. */
  readonly stop: readonly string[];
  /** Leaves the stop string, or the stop token's text, in the output. */
  readonly includeStop: boolean;
}

export interface TextOutput {
  /** New text; may be empty while some is held back. */
  readonly text: string;
  /** Tokens generated since the last output, the stop token included. */
  readonly tokens: number;
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
  { stop, includeStop }: TextOptions,
  observer: CompletionObserver,
): AsyncGenerator<TextOutput, void> {
  const detokenizer = tokenizer.createDetokenizer();
  const matcher = new StopMatcher(stop, { includeStop });
  // A reader that leaves early does what a disconnect does.
  let end: EndReason = 'abort';
  let last: TextOutput | null = null;
  try {
    for await (const output of outputs) {
      const { cachedTokens } = output;
      let { finishReason } = output;
      let text = '';
      let tokens = 0;
      let stopped = false;
      const take = (piece: string): void => {
        const result = matcher.push(piece);
        text += result.text;
        stopped = result.stopped;
      };
      for (const id of output.tokenIds) {
        tokens++;
        const isStopToken = finishReason === 'stop' && tokens === output.tokenIds.length;
        if (!isStopToken || includeStop) take(detokenizer.push(id));
        if (stopped) break;
      }
      if (!stopped && finishReason !== null) take(detokenizer.flush());
      if (stopped) finishReason = 'stop';
      else if (finishReason !== null) text += matcher.flush();
      observer.output(tokens, cachedTokens, output.times);
      last = { text, tokens, finishReason, cachedTokens };
      if (finishReason !== null) {
        end = finishReason;
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
