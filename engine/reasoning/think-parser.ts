import type { StructurePart } from '../protocol/request.js';
import { MarkerScanner } from '../text/marker-scanner.js';
import { textWithout } from '../text/text-without.js';

const OPEN = '<think>';
const CLOSE = '</think>';

/** Texts that are special tokens in some tokenizers; the parser needs them in the text. */
export const THINK_MARKERS: readonly string[] = [OPEN, CLOSE];

/** The text that closes reasoning which the prompt has opened, as templates write it. */
export const CLOSE_THINKING = `\n${CLOSE}\n\n`;

/**
 * The reasoning part of a grammar; the answer follows it.
 *
 * @param open whether the prompt has opened it; otherwise, reasoning is optional
 */
export function thinkingParts(open: boolean): StructurePart[] {
  const thought: StructurePart[] = [
    { kind: 'regex', source: textWithout(CLOSE) },
    { kind: 'literal', text: CLOSE },
    { kind: 'regex', source: '\\s{0,4}' },
  ];
  if (open) return thought;
  return [{ kind: 'alternatives', of: [[], [{ kind: 'literal', text: OPEN }, ...thought]] }];
}

export interface ThinkPiece {
  readonly kind: 'reasoning' | 'content';
  readonly text: string;
}

/**
 * Whether a prompt ends with the tag that opens reasoning, so that the output begins inside it
 * (DeepSeek R1, Qwen 3 thinking).
 */
export function opensThinking(prompt: string): boolean {
  return prompt.trimEnd().endsWith(OPEN);
}

/**
 * Separates reasoning from the answer in a text that arrives in pieces:
 * `<think> reasoning </think> answer`. Only a tag at the very beginning opens reasoning; later ones
 * are text. White space next to the tags belongs to them. If it is never closed, all text is
 * reasoning.
 */
export class ThinkParser {
  readonly #open = new MarkerScanner(OPEN);
  readonly #close = new MarkerScanner(CLOSE);
  #state: 'opening' | 'thinking' | 'closed' | 'answer';
  /** Whether only white space has arrived since the opening tag. */
  #atStart = true;
  #text = '';
  #pieces: ThinkPiece[] = [];

  /** @param open whether the prompt has opened the reasoning */
  constructor(options: { readonly open: boolean }) {
    this.#state = options.open ? 'thinking' : 'opening';
  }

  /** `opening` means that it is not known yet whether there is reasoning. */
  get state(): 'opening' | 'thinking' | 'closed' | 'answer' {
    return this.#state;
  }

  push(piece: string): ThinkPiece[] {
    if (this.#state === 'answer') return piece === '' ? [] : [{ kind: 'content', text: piece }];
    for (const char of piece) this.#take(char);
    return this.#finish();
  }

  flush(): ThinkPiece[] {
    if (this.#state === 'opening') this.#text = this.#open.flush();
    if (this.#state === 'thinking') this.#text = this.#close.flush();
    return this.#finish();
  }

  #take(char: string): void {
    switch (this.#state) {
      case 'opening': {
        const text = this.#open.push(char);
        if (text === '') return;
        if (text !== null) this.#text += text + this.#open.flush();
        return this.#enter(text === null ? 'thinking' : 'answer');
      }
      case 'thinking': {
        const text = this.#close.push(char);
        if (text === null) return this.#enter('closed');
        this.#text += this.#atStart ? text.trimStart() : text;
        if (text !== '') this.#atStart = false;
        return;
      }
      case 'closed':
        if (/\s/.test(char)) return;
        this.#enter('answer');
        this.#text += char;
        return;
      case 'answer':
        this.#text += char;
    }
  }

  /** Text that was read in one state must not be counted in another. */
  #enter(state: 'thinking' | 'closed' | 'answer'): void {
    if (this.#state === 'thinking') this.#emit('reasoning');
    this.#state = state;
  }

  #finish(): ThinkPiece[] {
    this.#emit(this.#state === 'thinking' ? 'reasoning' : 'content');
    const pieces = this.#pieces;
    this.#pieces = [];
    return pieces;
  }

  #emit(kind: ThinkPiece['kind']): void {
    if (this.#text !== '') this.#pieces.push({ kind, text: this.#text });
    this.#text = '';
  }
}
