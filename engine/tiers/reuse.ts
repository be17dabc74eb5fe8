import type { BlockHash } from '../../kvcache/ids.js';

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
 * A system prompt before many single questions is kept, too, but none of the questions. What is
 * known holds for a content in all groups of layers.
 */
export class Reuse {
  /** What is known of each content, the newest last. */
  readonly #marks = new Map<BlockHash, number>();

  /** A sequence has asked for a content that is not in the pages. */
  asked(hash: BlockHash): void {
    const marks = this.#marks.get(hash) ?? 0;
    this.#set(hash, ASKED | (marks & ASKED ? REUSED : 0) | continuedBy(marks));
  }

  /** A sequence has found a content in the pages, or another server has been asked for it. */
  reused(hash: BlockHash): void {
    this.#set(hash, REUSED | continuedBy(this.#marks.get(hash) ?? 0));
  }

  /** Another server has generated a content that a sequence asks for. */
  continued(hash: BlockHash): void {
    this.#set(hash, CONTINUED);
  }

  /**
   * The pages have a content that they did not have.
   *
   * @param parent the content before it in its sequence, if that is known
   * @returns whether it was generated: no sequence had it in its prompt
   */
  stored(hash: BlockHash, parent: BlockHash | null): boolean {
    const isGenerated = ((this.#marks.get(hash) ?? 0) & ASKED) === 0;
    const isContinued = parent !== null && ((this.#marks.get(parent) ?? 0) & CONTINUED) !== 0;
    if (isGenerated || isContinued) {
      this.#set(hash, (isGenerated ? GENERATED : 0) | (isContinued ? CONTINUED : 0));
    }
    return isGenerated;
  }

  isReused(hash: BlockHash): boolean {
    return ((this.#marks.get(hash) ?? 0) & (REUSED | CONTINUED)) !== 0;
  }

  /** Adds marks. */
  #set(hash: BlockHash, marks: number): void {
    const all = (this.#marks.get(hash) ?? 0) | marks;
    this.#marks.delete(hash);
    this.#marks.set(hash, all);
    if (this.#marks.size <= MOST) return;
    const [oldest] = this.#marks.keys();
    this.#marks.delete(oldest);
  }
}

/** A sequence that asks for what was generated continues it. */
function continuedBy(marks: number): number {
  return marks & GENERATED ? CONTINUED : 0;
}
