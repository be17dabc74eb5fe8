import { MarkerScanner } from '../text/marker-scanner.js';
import { textWithout } from '../text/text-without.js';
import type { ReasoningForm, ReasoningReader, ThinkPiece } from './reasoning-form.js';

/** What opens reasoning, and what closes it; the first character of each occurs in it once. */
type Tags = readonly [open: string, close: string];

/** Reasoning between two tags at the beginning of a message, which a prompt may have opened. */
export function taggedReasoning(name: string, tags: Tags): ReasoningForm {
  const [open, close] = tags;
  return {
    name,
    markers: [open, close],
    tags,
    // As templates write it.
    closing: `\n${close}\n\n`,
    beforeAnswer: '',
    opens: (prompt) => prompt.trimEnd().endsWith(open),
    parts: (isOpen) => {
      const thought = [
        { kind: 'regex', source: textWithout(close) },
        { kind: 'literal', text: close },
        { kind: 'regex', source: '\\s{0,4}' },
      ] as const;
      if (isOpen) return [...thought];
      return [{ kind: 'alternatives', of: [[], [{ kind: 'literal', text: open }, ...thought]] }];
    },
    createReader: ({ isOpen }) => new TaggedReader(tags, isOpen),
  };
}

/**
 * Reads `<think> reasoning </think> answer`. Only a tag at the very beginning opens reasoning;
 * later ones are text. White space next to the tags belongs to them. If it is never closed, all
 * text is reasoning.
 */
class TaggedReader implements ReasoningReader {
  readonly #open: MarkerScanner;
  readonly #close: MarkerScanner;
  #state: ReasoningReader['state'];
  /** Whether only white space has arrived since the opening tag. */
  #atStart = true;
  #text = '';
  #pieces: ThinkPiece[] = [];

  constructor([open, close]: Tags, isOpen: boolean) {
    this.#open = new MarkerScanner(open);
    this.#close = new MarkerScanner(close);
    this.#state = isOpen ? 'thinking' : 'opening';
  }

  get state(): ReasoningReader['state'] {
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
