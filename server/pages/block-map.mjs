/** @import { BlockRun } from '../dashboard/events.js' */
/** @import { Grid } from './block-grid.mjs' */
import { gridFor } from './block-grid.mjs';
import { color, onTheme } from './theme.mjs';

/** As the server numbers them. */
const STATES = /** @type {const} */ (['free', 'cached', 'used', 'shared']);
const WORDS = ['free', 'cached, nobody uses it', 'in use', 'shared'];

/** The KV blocks: their states in columns, drawn as a grid in order of their numbers. */
export class BlockMap {
  #box;
  #cells;
  #marks;
  #onGrid;
  /** @type {string[]} */
  #colors = [];
  /** @type {Grid | null} */
  #grid = null;
  /** @type {number[]} */
  #marked = [];
  /** @type {number | null} */
  #framed = null;
  states = new Uint8Array(0);
  /** In its sequence, -1: none. */
  positions = new Int32Array(0);
  /** -1: none. */
  parents = new Int32Array(0);
  allocatedAt = new Float64Array(0);

  /**
   * @param {HTMLElement} box holds the canvas of the cells, and above it the one of what is marked
   * @param {[HTMLCanvasElement, HTMLCanvasElement]} canvases
   * @param {(grid: Grid) => void} onGrid called whenever it is another one
   */
  constructor(box, [cells, marks], onGrid) {
    this.#box = box;
    this.#cells = cells;
    this.#marks = marks;
    this.#onGrid = onGrid;
    onTheme(() => this.#layOut());
    new ResizeObserver(() => this.#layOut()).observe(box);
  }

  get grid() {
    return this.#grid;
  }

  /**
   * Forgets everything.
   *
   * @param {number} numBlocks
   */
  resize(numBlocks) {
    this.states = new Uint8Array(numBlocks);
    this.positions = new Int32Array(numBlocks).fill(-1);
    this.parents = new Int32Array(numBlocks).fill(-1);
    this.allocatedAt = new Float64Array(numBlocks);
    this.#marked = [];
    this.#framed = null;
    this.#layOut();
  }

  /**
   * Takes in what has changed, and draws only that.
   *
   * @param {readonly BlockRun[]} runs
   */
  update(runs) {
    for (const [first, count, state, position, allocatedAt, parent] of runs) {
      for (let i = 0; i < count; i++) {
        const block = first + i;
        this.states[block] = state;
        this.positions[block] = position < 0 ? -1 : position + i;
        this.parents[block] = i === 0 || position < 0 ? parent : block - 1;
        this.allocatedAt[block] = allocatedAt;
      }
    }
    if (!this.#grid) return;
    const { perCell } = this.#grid;
    for (const [first, count] of runs) {
      const last = Math.floor((first + count - 1) / perCell);
      for (let cell = Math.floor(first / perCell); cell <= last; cell++) this.#draw(cell);
    }
  }

  /** Blocks by state. */
  counts(first = 0, end = this.states.length) {
    const counts = STATES.map(() => 0);
    for (const state of this.states.subarray(first, end)) counts[state]++;
    const [free, cached, used, shared] = counts;
    return { free, cached, used, shared };
  }

  /** @param {number} block */
  words(block) {
    return WORDS[this.states[block]];
  }

  /**
   * The cell at a place of the window, or null.
   *
   * @param {number} clientX
   * @param {number} clientY
   */
  cellAt(clientX, clientY) {
    if (!this.#grid) return null;
    const { left, top } = this.#cells.getBoundingClientRect();
    const column = Math.floor((clientX - left) / this.#grid.width);
    const row = Math.floor((clientY - top) / this.#grid.height);
    if (column < 0 || column >= this.#grid.columns || row < 0) return null;
    const cell = row * this.#grid.columns + column;
    return cell < this.#grid.cells ? cell : null;
  }

  /**
   * Where a cell ends to the right and below, in the window.
   *
   * @param {number} cell
   * @returns {[x: number, y: number]}
   */
  cornerOf(cell) {
    const { left, top } = this.#cells.getBoundingClientRect();
    const { columns, width, height } = /** @type {Grid} */ (this.#grid);
    const row = Math.floor(cell / columns);
    return [left + (cell - row * columns + 1) * width, top + (row + 1) * height];
  }

  /**
   * A block and those before it in its sequence, as far as they still hold its beginning.
   *
   * @param {number} block
   */
  chainOf(block) {
    const chain = [block];
    for (
      let child = block, parent = this.parents[child];
      parent >= 0;
      parent = this.parents[child]
    ) {
      const holds =
        this.states[parent] !== 0 &&
        this.positions[parent] === this.positions[child] - 1 &&
        this.allocatedAt[parent] <= this.allocatedAt[child];
      if (!holds) break;
      chain.push(parent);
      child = parent;
    }
    return chain;
  }

  /**
   * The rest steps back.
   *
   * @param {number[]} blocks
   * @param {number | null} [cell] gets a frame
   */
  mark(blocks, cell = null) {
    this.#marked = blocks;
    this.#framed = cell;
    this.#drawMarks();
  }

  #layOut() {
    const { clientWidth: width, clientHeight: height } = this.#box;
    for (const canvas of [this.#cells, this.#marks]) {
      canvas.width = Math.floor(width * devicePixelRatio);
      canvas.height = Math.floor(height * devicePixelRatio);
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
    }
    const { length } = this.states;
    this.#grid = length > 0 && width > 0 && height > 0 ? gridFor(length, width, height) : null;
    if (!this.#grid) return;
    this.#colors = STATES.map((name) => color(name));
    for (let cell = 0; cell < this.#grid.cells; cell++) this.#draw(cell);
    this.#drawMarks();
    this.#onGrid(this.#grid);
  }

  /**
   * A cell is filled from below with the shares of what is in its blocks.
   *
   * @param {number} cell
   */
  #draw(cell) {
    const { perCell } = /** @type {Grid} */ (this.#grid);
    const context = contextOf(this.#cells);
    const [x, y, width, height] = this.#place(cell);
    const first = cell * perCell;
    const end = Math.min(first + perCell, this.states.length);
    const counts = this.counts(first, end);
    context.fillStyle = this.#colors[0];
    context.fillRect(x, y, width, height);
    let bottom = y + height;
    for (const [index, name] of STATES.entries()) {
      if (index === 0 || counts[name] === 0) continue;
      // A single block of many is seen, too.
      const share = Math.max(2, Math.round((height * counts[name]) / (end - first)));
      const part = Math.min(share, bottom - y);
      context.fillStyle = this.#colors[index];
      context.fillRect(x, bottom - part, width, part);
      bottom -= part;
    }
  }

  /**
   * In device pixels, without the gap.
   *
   * @param {number} cell
   * @returns {[x: number, y: number, width: number, height: number]}
   */
  #place(cell) {
    const { columns, width, height } = /** @type {Grid} */ (this.#grid);
    const row = Math.floor(cell / columns);
    const column = cell - row * columns;
    const at = (/** @type {number} */ css) => Math.round(css * devicePixelRatio);
    const [x, y] = [at(column * width), at(row * height)];
    const gap = Math.max(1, Math.round((Math.min(width, height) * devicePixelRatio) / 9));
    return [x, y, at((column + 1) * width) - x - gap, at((row + 1) * height) - y - gap];
  }

  #drawMarks() {
    const context = contextOf(this.#marks);
    context.clearRect(0, 0, this.#marks.width, this.#marks.height);
    if (this.#marked.length === 0 || !this.#grid) return;
    const { perCell } = this.#grid;
    context.fillStyle = color('panel');
    context.globalAlpha = 0.6;
    context.fillRect(0, 0, this.#marks.width, this.#marks.height);
    context.globalAlpha = 1;
    for (const block of this.#marked) {
      const [x, y, width, height] = this.#place(Math.floor(block / perCell));
      context.clearRect(x, y, width, height);
    }
    if (this.#framed === null) return;
    const [x, y, width, height] = this.#place(this.#framed);
    context.strokeStyle = color('ink');
    context.lineWidth = Math.max(1, devicePixelRatio);
    context.strokeRect(x - 0.5, y - 0.5, width + 1, height + 1);
  }
}

/** @param {HTMLCanvasElement} canvas */
function contextOf(canvas) {
  const context = canvas.getContext('2d');
  if (!context) throw new Error('no canvas');
  return context;
}
