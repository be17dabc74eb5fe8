import type { EngineRequest } from '../../engine/core/protocol.js';
import type { TokenId } from '../../scheduler/ids.js';
import type { EngineOutput } from '../engine-port.js';
import type { Tokenizer } from '../text/tokenizer.js';
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
  /** Leaves the stop string, or the stop token's text, in the output. */
  readonly includeStop: boolean;
  /** What else the text is read for; null: it is all content. */
  readonly message: MessageForm | null;
}

/** How the text of a request's completions is read. */
export interface MessageForm {
  /** Special tokens whose text the parsers need. */
  readonly shownTokens: ReadonlySet<TokenId>;
  /** Called for each completion: parsers hold its state. */
  createParsers(): MessageParsers;
}

export interface TextOutput {
  /** New content; may be empty while some is held back. */
  readonly text: string;
  /** The same with all that is no content, in order. */
  readonly events: readonly MessageEvent[];
  /** Of `tokens`, those of the reasoning. */
  readonly reasoningTokens: number;
  /** Tokens generated since the last output, the stop token included. */
  readonly tokens: number;
  readonly finishReason: 'stop' | 'length' | 'abort' | null;
  readonly cachedTokens: number;
}

/** Follows one engine request, for metrics. */
export interface GenerationObserver {
  output(tokens: number, cachedTokens: number): void;
  /** Called once, whatever happens. */
  end(reason: 'stop' | 'length' | 'abort' | 'error'): void;
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
  observer: GenerationObserver,
): AsyncGenerator<TextOutput, void> {
  const { message, includeStop } = options;
  const detokenizer = tokenizer.createDetokenizer(message?.shownTokens);
  const reader = new MessageReader(options, message?.createParsers() ?? NO_PARSERS);
  // A reader that leaves early does what a disconnect does.
  let end: Parameters<GenerationObserver['end']>[0] = 'abort';
  let last: TextOutput | null = null;
  try {
    for await (const output of outputs) {
      const { cachedTokens } = output;
      let { finishReason } = output;
      const reasoningBefore = reader.reasoningTokens;
      let tokens = 0;
      for (const id of output.tokenIds) {
        tokens++;
        const isStopToken = finishReason === 'stop' && tokens === output.tokenIds.length;
        if (!isStopToken || includeStop) reader.push(detokenizer.push(id));
        if (reader.stopped) break;
      }
      if (!reader.stopped && finishReason !== null) reader.flush(detokenizer.flush());
      if (reader.stopped) finishReason = 'stop';
      const events = reader.take();
      observer.output(tokens, cachedTokens);
      const text = contentOf(events);
      const reasoningTokens = reader.reasoningTokens - reasoningBefore;
      last = { text, events, tokens, reasoningTokens, finishReason, cachedTokens };
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

function contentOf(events: readonly MessageEvent[]): string {
  return events.map((event) => (event.kind === 'content' ? event.text : '')).join('');
}
