import type { PromptImage } from '../protocol/prompt-image.js';

/**
 * The images of all sequences that are alive, by their keys. A sequence that is preempted computes
 * its prompt again, so images stay until the last sequence that has them ends.
 */
export class ImageStore {
  readonly #held = new Map<string, { readonly image: PromptImage; users: number }>();

  /** The rows of an image; `start` and `end` are those of some sequence that has it. */
  get(key: string): PromptImage {
    const found = this.#held.get(key);
    if (!found) throw new Error(`no sequence has the image ${key}`);
    return found.image;
  }

  hold(images: readonly PromptImage[]): void {
    for (const image of images) {
      const found = this.#held.get(image.key);
      if (found) found.users += 1;
      else this.#held.set(image.key, { image, users: 1 });
    }
  }

  release(images: readonly PromptImage[]): void {
    for (const { key } of images) {
      const found = this.#held.get(key);
      if (!found) throw new Error(`the image ${key} is released more often than held`);
      found.users -= 1;
      if (found.users === 0) this.#held.delete(key);
    }
  }

  /** Number of images that are held. */
  get size(): number {
    return this.#held.size;
  }
}
