import { CHANNEL, CONSTRAIN, MESSAGE, recipientOf } from '../tools/harmony.js';
import type { ReasoningForm, ReasoningReader, ThinkPiece } from './reasoning-form.js';

const START = '<|start|>';
/** What ends a message. */
const ENDS = ['<|end|>', '<|call|>', '<|return|>'];
const MARKERS = [START, CHANNEL, CONSTRAIN, MESSAGE, ...ENDS];
const FINAL = `${CHANNEL}final${MESSAGE}`;

/**
 * The messages of gpt-oss (OpenAI's response format harmony): each has a channel. `analysis` is
 * reasoning, `final` the answer, `commentary` speaks to the user or, with a recipient, calls a
 * function:
 *
 *     <|channel|>analysis<|message|>...<|end|>
 *     <|start|>assistant<|channel|>final<|message|>...<|return|>
 */
export const HARMONY_REASONING: ReasoningForm = {
  name: 'openai',
  markers: MARKERS,
  tags: null,
  closing: '',
  beforeAnswer: FINAL,
  opens: () => false,
  parts: () => null,
  createReader: () => new HarmonyReader(),
};

type Part = 'header' | 'reasoning' | 'content' | 'call';

class HarmonyReader implements ReasoningReader {
  #part: Part = 'header';
  #header = '';
  /** What was read of a marker. */
  #marker = '';
  #hasBegun = false;
  #text = '';
  #pieces: ThinkPiece[] = [];

  get state(): ReasoningReader['state'] {
    if (this.#part === 'reasoning') return 'thinking';
    if (this.#part !== 'header') return 'answer';
    return this.#hasBegun ? 'closed' : 'opening';
  }

  push(piece: string): ThinkPiece[] {
    for (const char of piece) this.#take(char);
    return this.#finish();
  }

  flush(): ThinkPiece[] {
    // A header is form, unless it is the text of a model that writes none.
    const held = this.#marker;
    this.#marker = '';
    if (this.#part === 'header' && !this.#hasBegun) {
      this.#part = 'content';
      this.#text += this.#header + held;
    } else if (this.#part !== 'header') this.#text += held;
    return this.#finish();
  }

  #take(char: string): void {
    const marker = this.#marker + char;
    if (!MARKERS.some((known) => known.startsWith(marker))) {
      this.#marker = '';
      // Its first character occurs in no marker again.
      for (const read of marker.slice(0, -1)) this.#read(read);
      if (char === '<' && marker !== char) this.#marker = char;
      else this.#read(char);
      return;
    }
    this.#marker = marker;
    if (!MARKERS.includes(marker)) return;
    this.#marker = '';
    this.#mark(marker);
  }

  #mark(marker: string): void {
    if (marker === MESSAGE && this.#part === 'header') return this.#enter(this.#header);
    if (this.#part === 'header') {
      this.#header += marker;
      return;
    }
    if (marker !== START && !ENDS.includes(marker)) {
      this.#text += marker;
      return;
    }
    if (this.#part === 'call') this.#text += '<|call|>';
    this.#emit();
    this.#part = 'header';
    this.#header = '';
  }

  #read(char: string): void {
    if (this.#part !== 'header') {
      this.#text += char;
      return;
    }
    this.#header += char;
    // The first message has its header in front, or is none: forced outputs, other models.
    if (this.#hasBegun || this.#header.includes(CHANNEL) || HEAD.test(this.#header)) return;
    this.#hasBegun = true;
    this.#part = 'content';
    this.#text += this.#header;
  }

  #enter(header: string): void {
    this.#hasBegun = true;
    const name = recipientOf(header);
    const channel = header.split(CHANNEL)[1] ?? '';
    if (name !== null) {
      this.#part = 'call';
      this.#text += `${CHANNEL}commentary to=functions.${name}${MESSAGE}`;
    } else this.#part = channel.startsWith('analysis') ? 'reasoning' : 'content';
  }

  #finish(): ThinkPiece[] {
    this.#emit();
    const pieces = this.#pieces;
    this.#pieces = [];
    return pieces;
  }

  #emit(): void {
    const kind = this.#part === 'reasoning' ? 'reasoning' : 'content';
    if (this.#text !== '' && this.#part !== 'header') this.#pieces.push({ kind, text: this.#text });
    this.#text = '';
  }
}

/** Beginnings of a header behind `<|start|>assistant`, which a prompt ends with. */
const HEAD = /^\s*(?:<.*|t|to|to=\S*\s*|assistant.*)?$/;
