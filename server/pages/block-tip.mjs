/** @import { BlockMap } from './block-map.mjs' */
import { age, count } from './formats.mjs';

/**
 * What the tip needs besides the map.
 *
 * @typedef {{
 *   blockSize: () => number, now: () => number, holdersOf: (block: number) => string[]
 * }} Facts
 */

/**
 * Says what is in the cell of a map under the pointer, or under a cursor that the arrow keys move;
 * and marks its chain.
 */
export class BlockTip {
  #map;
  #tip;
  #spoken;
  #facts;
  /** @type {{ cell: number, x: number, y: number } | null} */
  #at = null;
  /** Where the keys begin. */
  #cursor = 0;

  /**
   * @param {BlockMap} map
   * @param {HTMLElement} box that the map is drawn in
   * @param {HTMLElement} tip
   * @param {HTMLElement} spoken for those who do not see the tip
   * @param {Facts} facts
   */
  constructor(map, box, tip, spoken, facts) {
    this.#map = map;
    this.#tip = tip;
    this.#spoken = spoken;
    this.#facts = facts;
    box.addEventListener('pointermove', ({ clientX, clientY }) => {
      const cell = map.cellAt(clientX, clientY);
      this.#show(cell === null ? null : { cell, x: clientX, y: clientY });
    });
    box.addEventListener('pointerleave', () => this.#show(null));
    box.addEventListener('focus', () => {
      if (box.matches(':focus-visible')) this.#go(this.#cursor);
    });
    box.addEventListener('blur', () => this.#show(null));
    box.addEventListener('keydown', (event) => this.#onKey(event));
  }

  /** The blocks have changed. */
  update() {
    if (this.#at && this.#at.cell >= (this.#map.grid?.cells ?? 0)) this.#at = null;
    this.#show(this.#at);
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const { grid } = this.#map;
    if (!grid) return;
    if (event.key === 'Escape') return this.#show(null);
    const steps = new Map([
      ['ArrowLeft', -1],
      ['ArrowRight', 1],
      ['ArrowUp', -grid.columns],
      ['ArrowDown', grid.columns],
      ['Home', -this.#cursor],
      ['End', grid.cells - 1 - this.#cursor],
    ]);
    const step = steps.get(event.key);
    if (step === undefined) return;
    event.preventDefault();
    const next = this.#cursor + step;
    if (next >= 0 && next < grid.cells) this.#go(next);
  }

  /** @param {number} cell */
  #go(cell) {
    if (!this.#map.grid) return;
    this.#cursor = Math.min(cell, this.#map.grid.cells - 1);
    const [x, y] = this.#map.cornerOf(this.#cursor);
    this.#show({ cell: this.#cursor, x, y });
    this.#spoken.textContent = this.#tip.textContent;
  }

  /** @param {{ cell: number, x: number, y: number } | null} at */
  #show(at) {
    const [was, tip] = [this.#at, this.#tip];
    this.#at = at;
    tip.hidden = at === null;
    if (at === null) {
      if (was) this.#map.mark([]);
      return;
    }
    const perCell = this.#map.grid?.perCell ?? 1;
    const first = at.cell * perCell;
    const end = Math.min(first + perCell, this.#map.states.length);
    const blocks = Array.from({ length: end - first }, (_, i) => first + i);
    const full = blocks.filter((block) => this.#map.states[block] !== 0);
    const chains = new Set(full.flatMap((block) => this.#map.chainOf(block)));
    this.#map.mark([...chains, first], at.cell);
    tip.textContent = (blocks.length === 1 ? this.#oneBlock(first) : this.#manyBlocks(blocks)).join(
      '\n',
    );
    const { width, height } = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(8, Math.min(at.x + 14, innerWidth - width - 8))}px`;
    tip.style.top = `${Math.max(8, Math.min(at.y + 14, innerHeight - height - 8))}px`;
  }

  /** @param {number[]} blocks that follow each other */
  #manyBlocks(blocks) {
    const [first, last] = [blocks[0], blocks[blocks.length - 1]];
    const { free, cached, used, shared } = this.#map.counts(first, last + 1);
    const parts = Object.entries({ shared, 'in use': used, cached, free })
      .filter(([, number]) => number > 0)
      .map(([name, number]) => `${number} ${name}`);
    const lines = [`Blocks ${count(first)} to ${count(last)}`, parts.join(', ')];
    const holders = new Set(blocks.flatMap((block) => this.#facts.holdersOf(block)));
    return [...lines, ...heldBy([...holders])];
  }

  /** @param {number} block */
  #oneBlock(block) {
    const map = this.#map;
    const lines = [`Block ${count(block)}: ${map.words(block)}`];
    const place = map.positions[block];
    if (place < 0) return lines;
    const chain = map.chainOf(block).length;
    const blockSize = this.#facts.blockSize();
    const first = place * blockSize;
    lines.push(`Tokens ${first} to ${first + blockSize - 1} of its sequence`);
    lines.push(
      chain === place + 1
        ? `Chain of ${chain} ${chain === 1 ? 'block' : 'blocks'}`
        : `Chain of ${place + 1} blocks, the first ${place + 1 - chain} are gone`,
    );
    lines.push(`Allocated ${age(this.#facts.now() - map.allocatedAt[block])} ago`);
    return [...lines, ...heldBy(this.#facts.holdersOf(block))];
  }
}

/** @param {string[]} holders */
function heldBy(holders) {
  const lines = [];
  if (holders.length > 0) lines.push(`Held by ${holders.slice(0, 4).join('\n')}`);
  if (holders.length > 4) lines.push(`and ${holders.length - 4} more`);
  return lines;
}
