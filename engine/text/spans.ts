import type { PromptImages } from '../protocol/prompt-image.js';

/** A part of a text, in UTF-16 units: from `start` to `end`, exclusive. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** Spans in order that neither overlap nor touch. */
export type Spans = readonly Span[];

/** A prompt and the spans that the client wrote, in which no control tokens are recognized. */
export interface PromptText {
  readonly text: string;
  readonly client: Spans;
  /** Those that its image tokens stand for; absent: none. */
  readonly images?: PromptImages;
}

export const NO_SPANS: Spans = [];

export const wholeSpan = (length: number): Spans =>
  length === 0 ? NO_SPANS : [{ start: 0, end: length }];

/** The parts of spans inside a piece of the text, relative to the beginning of the piece. */
export function spansWithin(spans: Spans, start: number, end: number): Spans {
  const parts: Span[] = [];
  for (let i = firstBehind(spans, start); i < spans.length && spans[i].start < end; i++) {
    const from = Math.max(spans[i].start, start);
    const to = Math.min(spans[i].end, end);
    if (to > from) parts.push({ start: from - start, end: to - start });
  }
  return parts;
}

/** Whether any unit of a piece of the text is inside a span. */
export function touches(spans: Spans, start: number, end: number): boolean {
  const at = firstBehind(spans, start);
  return at < spans.length && spans[at].start < end;
}

/** Index of the first span that ends after a place. */
function firstBehind(spans: Spans, place: number): number {
  let [low, high] = [0, spans.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (spans[middle].end > place) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Joins pieces of text and their spans. */
export class SpanWriter {
  readonly #pieces: string[] = [];
  readonly #spans: Span[] = [];
  #length = 0;

  push(text: string, spans: Spans): void {
    for (const { start, end } of spans) {
      const span = { start: start + this.#length, end: end + this.#length };
      const last = this.#spans.at(-1);
      if (last?.end === span.start)
        this.#spans[this.#spans.length - 1] = { ...last, end: span.end };
      else this.#spans.push(span);
    }
    this.#pieces.push(text);
    this.#length += text.length;
  }

  /** UTF-16 units so far. */
  get length(): number {
    return this.#length;
  }

  get text(): string {
    return this.#pieces.join('');
  }

  get spans(): Spans {
    return this.#spans;
  }
}
