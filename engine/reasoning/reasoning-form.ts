import type { StructurePart } from '../protocol/request.js';

/** A part of an answer: what the model thinks, or what it says. */
export interface ThinkPiece {
  readonly kind: 'reasoning' | 'content';
  readonly text: string;
}

/** Separates reasoning from the answer in a text that arrives in pieces, however it is cut. */
export interface ReasoningReader {
  /** `opening`: it is not known yet whether there is reasoning; `closed`: between the two. */
  readonly state: 'opening' | 'thinking' | 'closed' | 'answer';
  push(piece: string): ThinkPiece[];
  /** Call once, at the end of the text. */
  flush(): ThinkPiece[];
}

/** One way in which models mark their reasoning. */
export interface ReasoningForm {
  readonly name: string;
  /** Texts that are special tokens in some tokenizers; the reader needs them in the text. */
  readonly markers: readonly string[];
  /**
   * The texts that reasoning stands between; null where several do, for which no budget is kept.
   */
  readonly tags: readonly [open: string, close: string] | null;
  /** The text that closes reasoning which a prompt has opened. */
  readonly closing: string;
  /** What a prompt must end with so that the output is an answer; '' for nothing. */
  readonly beforeAnswer: string;
  /** Whether a prompt ends inside of reasoning, so that the output begins there. */
  opens(prompt: string): boolean;
  /**
   * Reasoning as parts of a grammar, which an answer follows; null where a grammar cannot hold it.
   *
   * @param isOpen whether the prompt has opened it; otherwise, reasoning is optional
   */
  parts(isOpen: boolean): StructurePart[] | null;
  createReader(options: { readonly isOpen: boolean }): ReasoningReader;
}
