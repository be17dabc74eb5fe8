import type { ReasoningReader, ThinkPiece } from '../reasoning/reasoning-form.js';
import { StopMatcher } from '../text/stop-matcher.js';
import type { ToolCallParser, ToolEvent } from '../tools/tool-format.js';

/** A part of an assistant's message, in the order in which it was written. */
export type MessageEvent = ToolEvent | { readonly kind: 'reasoning'; readonly text: string };

/** Parsers of a sequence's text, besides its stop strings. */
export interface MessageParsers {
  readonly think: ReasoningReader | null;
  readonly tools: ToolCallParser | null;
  /** Number of calls after which the sequence ends. */
  readonly maxCalls: number;
}

export const NO_PARSERS: MessageParsers = { think: null, tools: null, maxCalls: Infinity };

/**
 * Parses one sequence's text: first reasoning, then tool calls, and stop strings in the rest. So a
 * stop string ends only the answer, never reasoning or a call's arguments, whose form clients do
 * not know.
 */
export class MessageReader {
  readonly #parsers: MessageParsers;
  readonly #newMatcher: () => StopMatcher;
  #matcher: StopMatcher;
  #events: MessageEvent[] = [];
  #calls = 0;
  #stopped = false;
  #stopString: string | null = null;
  #mayStop = true;
  /** Number of tokens of which it is not known yet whether they are reasoning. */
  #undecidedTokens = 0;
  #reasoningTokens = 0;

  constructor(
    options: { readonly stop: readonly string[]; readonly includeStop: boolean },
    parsers: MessageParsers,
  ) {
    this.#parsers = parsers;
    this.#newMatcher = () => new StopMatcher(options.stop, options);
    this.#matcher = this.#newMatcher();
  }

  /**
   * Whether a stop string, or the last allowed call, has ended the message. Do not push any more
   * then.
   */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** The stop string that ended the message, or null. */
  get stopString(): string | null {
    return this.#stopString;
  }

  /** Number of reasoning tokens so far, including the tags. */
  get reasoningTokens(): number {
    return this.#reasoningTokens;
  }

  /**
   * Takes the text of one token, which may be empty.
   *
   * @param mayStop false when stop strings that complete with it are ordinary text
   */
  push(piece: string, mayStop: boolean): void {
    this.#mayStop = mayStop;
    const { think } = this.#parsers;
    if (think === null) this.#readAnswer(piece);
    else {
      const before = think.state;
      const pieces = think.push(piece);
      this.#countToken(before, think.state, pieces);
      for (const { kind, text } of pieces) this.#read(kind, text);
    }
  }

  /** Call at the end of the text. @param piece text that the detokenizer still held back */
  flush(piece: string, mayStop: boolean): void {
    this.#mayStop = mayStop;
    const { think, tools } = this.#parsers;
    if (think === null) this.#readAnswer(piece);
    else {
      for (const { kind, text } of [...think.push(piece), ...think.flush()]) this.#read(kind, text);
    }
    if (tools) this.#readEvents(tools.flush());
    if (!this.#stopped) this.#showHeld();
  }

  /** Returns the events since the last call; adjacent pieces of one kind are joined. */
  take(): MessageEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }

  #countToken(
    before: ReasoningReader['state'],
    after: ReasoningReader['state'],
    pieces: readonly ThinkPiece[],
  ): void {
    if (after === 'opening') this.#undecidedTokens++;
    else if (before === 'thinking' || after === 'thinking' || pieces[0]?.kind === 'reasoning') {
      this.#reasoningTokens += this.#undecidedTokens + 1;
      this.#undecidedTokens = 0;
    }
  }

  #read(kind: 'reasoning' | 'content', text: string): void {
    if (kind === 'reasoning') this.#show({ kind, text });
    else this.#readAnswer(text);
  }

  #readAnswer(text: string): void {
    const { tools } = this.#parsers;
    this.#readEvents(tools ? tools.push(text) : [{ kind: 'content', text }]);
  }

  #readEvents(events: readonly ToolEvent[]): void {
    for (const event of events) {
      if (this.#stopped) return;
      if (event.kind === 'content') {
        const { text, stopped, stop } = this.#matcher.push(event.text, this.#mayStop);
        this.#show({ kind: 'content', text });
        this.#stopped = stopped;
        this.#stopString = stop;
        continue;
      }
      if (event.kind === 'call') this.#showHeld();
      this.#show(event);
      if (event.kind === 'end') this.#stopped = ++this.#calls >= this.#parsers.maxCalls;
    }
  }

  /** A stop string cannot span a call. */
  #showHeld(): void {
    this.#show({ kind: 'content', text: this.#matcher.flush() });
    this.#matcher = this.#newMatcher();
  }

  #show(event: MessageEvent): void {
    const last = this.#events.at(-1);
    if (event.kind === 'call' || event.kind === 'end') this.#events.push(event);
    else if (event.text === '') return;
    else if (last?.kind === event.kind) {
      this.#events[this.#events.length - 1] = { kind: event.kind, text: last.text + event.text };
    } else this.#events.push(event);
  }
}
