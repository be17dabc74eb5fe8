import type { BlockKey } from './block-tier.js';

/** Contents that are remembered: those that something has happened to last. */
const MOST = 65_536;

const ASKED = 1;
const REUSED = 2;
const GENERATED = 4;
const CONTINUED = 8;

/**
 * Which contents are asked for again: those are worth the memory of a server that others share. A
 * content counts as reused when
 *
 * - a sequence has found it in the pages,
 * - a second one has asked for it and not found it there, or
 * - it goes on from generated tokens that were asked for: a conversation that came back once will
 *   come back again, so its next turn is kept before a second one asks for it.
 *
 *     first turn     system prompt, question | answer             once: nothing is kept
 *     second turn    system prompt, question,  answer, question | answer
 *                    |-------- asked for twice ------| continued ------|
 *
 * A system prompt before many single questions is kept, too, but none of the questions.
 */
export class Reuse {
  /** What is known of each content, the newest last. */
  readonly #marks = new Map<BlockKey, number>();

  /** A sequence has asked for a content that is not in the pages. */
  asked(key: BlockKey): void {
    const marks = this.#marks.get(key) ?? 0;
    this.#set(key, ASKED | (marks & ASKED ? REUSED : 0) | continuedBy(marks));
  }

  /** A sequence has found a content in the pages, or another server has been asked for it. */
  reused(key: BlockKey): void {
    this.#set(key, REUSED | continuedBy(this.#marks.get(key) ?? 0));
  }

  /** Another server has generated a content that a sequence asks for. */
  continued(key: BlockKey): void {
    this.#set(key, CONTINUED);
  }

  /**
   * The pages have a content that they did not have.
   *
   * @param parent the content before it in its sequence, if that is known
   * @returns whether it was generated: no sequence had it in its prompt
   */
  stored(key: BlockKey, parent: BlockKey | null): boolean {
    const isGenerated = ((this.#marks.get(key) ?? 0) & ASKED) === 0;
    const isContinued = parent !== null && ((this.#marks.get(parent) ?? 0) & CONTINUED) !== 0;
    if (isGenerated || isContinued) {
      this.#set(key, (isGenerated ? GENERATED : 0) | (isContinued ? CONTINUED : 0));
    }
    return isGenerated;
  }

  isReused(key: BlockKey): boolean {
    return ((this.#marks.get(key) ?? 0) & (REUSED | CONTINUED)) !== 0;
  }

  /** Adds marks. */
  #set(key: BlockKey, marks: number): void {
    const all = (this.#marks.get(key) ?? 0) | marks;
    this.#marks.delete(key);
    this.#marks.set(key, all);
    if (this.#marks.size <= MOST) return;
    const [oldest] = this.#marks.keys();
    this.#marks.delete(oldest);
  }
}

/** A sequence that asks for what was generated continues it. */
function continuedBy(marks: number): number {
  return marks & GENERATED ? CONTINUED : 0;
}
