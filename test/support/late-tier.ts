import { setImmediate } from 'node:timers/promises';
import type { TierState } from '../../engine/protocol/reports.js';
import type { BlockKey, BlockTier, Mark, SharedMarks } from '../../engine/tiers/block-tier.js';

/**
 * A far tier that answers after so many ticks. Every fifth content that is asked for is gone when
 * it is to be loaded, and its place is left half written.
 */
export class LateTier implements BlockTier {
  readonly contents = new Map<BlockKey, Uint8Array>();
  readonly #ticks: number;
  #waiting: { left: number; answer: () => void }[] = [];
  #asked = 0;
  loaded = 0;
  /** False: nothing can be cleared. */
  isUp = true;
  /** All that it has taken in, in order. */
  readonly stored: BlockKey[] = [];
  readonly marks: SharedMarks = {
    mark: (mark, keys) =>
      this.#later(() =>
        keys.map((key) => {
          const had = this.#marks.has(`${mark} ${key}`);
          this.#marks.add(`${mark} ${key}`);
          return had;
        }),
      ),
    marked: (mark: Mark, keys) =>
      this.#later(() => keys.map((key) => this.#marks.has(`${mark} ${key}`))),
  };
  readonly #marks = new Set<string>();
  readonly #isWhole: boolean;

  /** @param isWhole whether nothing is ever gone */
  constructor(ticks: number, isWhole = false) {
    this.#ticks = ticks;
    this.#isWhole = isWhole;
  }

  get stats(): TierState {
    return {
      name: 'disk',
      isUp: this.isUp,
      isWritable: this.isUp,
      blocks: this.contents.size,
      bytes: 0,
      capacityBytes: 0,
      loaded: this.loaded,
      stored: 0,
      failed: 0,
      dropped: 0,
    };
  }

  /** Answers what is due, and lets those who wait for it go on. */
  async tick(): Promise<void> {
    const due = this.#waiting.filter(({ left }) => left <= 0);
    this.#waiting = this.#waiting.filter(({ left }) => left > 0);
    for (const each of this.#waiting) each.left -= 1;
    for (const { answer } of due) answer();
    await setImmediate();
  }

  has(keys: readonly BlockKey[]): Promise<boolean[]> {
    return this.#later(() => keys.map((key) => this.contents.has(key)));
  }

  load(keys: readonly BlockKey[], into: readonly Uint8Array[]): Promise<boolean[]> {
    return this.#later(() =>
      keys.map((key, i) => {
        const content = this.contents.get(key);
        this.#asked += 1;
        if (!content || (!this.#isWhole && this.#asked % 5 === 0)) {
          into[i].fill(0xff, 0, into[i].length / 2);
          return false;
        }
        into[i].set(content);
        this.loaded += 1;
        return true;
      }),
    );
  }

  store(keys: readonly BlockKey[], from: readonly Uint8Array[]): Promise<boolean[]> {
    return this.#later(() =>
      keys.map((key, i) => {
        if (!this.contents.has(key)) this.stored.push(key);
        this.contents.set(key, from[i].slice());
        return true;
      }),
    );
  }

  clear(): boolean {
    if (this.isUp) this.contents.clear();
    return this.isUp;
  }

  close(): void {
    this.contents.clear();
  }

  #later<T>(answer: () => T): Promise<T> {
    return new Promise((resolve) => {
      this.#waiting.push({ left: this.#ticks, answer: () => resolve(answer()) });
    });
  }
}
