import { make } from './elements.mjs';

/**
 * Heads of columns that sort: a click the largest first, another the smallest, a third as it was.
 *
 * @template {string} Name
 */
export class Sorting {
  /** @type {{ name: Name, sign: 1 | -1 } | null} */
  #by = null;
  /** @type {Map<Name, HTMLTableCellElement>} */
  #heads = new Map();

  /**
   * @param {HTMLElement} row gets the heads
   * @param {readonly (readonly [name: Name, label: string])[]} columns
   * @param {() => void} onChange
   */
  constructor(row, columns, onChange) {
    for (const [name, label] of columns) {
      const head = make('th', '');
      const button = make('button', '', label);
      button.type = 'button';
      head.scope = 'col';
      head.append(button);
      row.append(head);
      this.#heads.set(name, head);
      button.addEventListener('click', () => {
        this.#by = this.#next(name);
        this.#showOrder();
        onChange();
      });
    }
  }

  /**
   * @template {{ values: Record<Name, string | number | null> }} Entry
   * @param {Entry[]} entries
   */
  sort(entries) {
    if (!this.#by) return entries;
    const { name, sign } = this.#by;
    return entries.toSorted((a, b) => sign * compare(a.values[name], b.values[name]));
  }

  /**
   * @param {Name} name
   * @returns {{ name: Name, sign: 1 | -1 } | null}
   */
  #next(name) {
    if (this.#by?.name !== name) return { name, sign: -1 };
    return this.#by.sign === -1 ? { name, sign: 1 } : null;
  }

  #showOrder() {
    for (const [name, head] of this.#heads) {
      if (this.#by?.name === name) {
        head.ariaSort = this.#by.sign === 1 ? 'ascending' : 'descending';
      } else head.removeAttribute('aria-sort');
    }
  }
}

/**
 * @param {string | number | null} a
 * @param {string | number | null} b
 */
function compare(a, b) {
  if (typeof a === 'string' && typeof b === 'string') return a < b ? -1 : Number(a > b);
  return Number(a ?? -1) - Number(b ?? -1);
}
