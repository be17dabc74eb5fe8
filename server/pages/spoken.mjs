/** Of blocks: enough for a screen reader that reads slower than a model writes. */
const KEPT = 20;

/**
 * Tells screen readers what appears, a block at a time. The messages themselves are not live: an
 * answer that grows would be read again from the beginning with each word.
 */
export class Spoken {
  #root;

  /** @param {HTMLElement} root a live region that is not seen */
  constructor(root) {
    this.#root = root;
  }

  /** @param {string} text */
  say(text) {
    if (text.trim() === '') return;
    const line = document.createElement('p');
    line.textContent = text;
    this.#root.append(line);
    while (this.#root.children.length > KEPT) this.#root.firstElementChild?.remove();
  }
}
