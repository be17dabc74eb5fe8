/** @import { BlockRun } from '../dashboard/block-runs.js' */
import { color, onTheme } from './theme.mjs';

/** As the server numbers them. */
const STATES = ['free', 'cached', 'used', 'shared'];
const WORDS = ['free', 'cached, nobody uses it', 'in use', 'shared'];

/** The KV blocks: their states in columns, drawn as a grid in order of their numbers. */
export class BlockMap {
  #box;
  #cells;
  #marks;
  /** @type {string[]} */
  #colors = [];
  #columns = 1;
  /** Of a cell, in device pixels, its gap included. */
  #size = 1;
  /** @type {number[]} */
  #marked = [];
  states = new Uint8Array(0);
  /** In its sequence, -1: none. */
  positions = new Int32Array(0);
  /** -1: none. */
  parents = new Int32Array(0);
  bornAt = new Float64Array(0);

  /**
   * @param {HTMLElement} box holds the canvas of the cells, and above it the one of what is marked
   * @param {[HTMLCanvasElement, HTMLCanvasElement]} canvases
   */
  constructor(box, [cells, marks]) {
    this.#box = box;
    this.#cells = cells;
    this.#marks = marks;
    this.resize(0);
    onTheme(() => this.#layOut());
    new ResizeObserver(() => this.#layOut()).observe(box);
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
    this.bornAt = new Float64Array(numBlocks);
    this.#layOut();
  }

  /**
   * Takes in what has changed, and draws only that.
   *
   * @param {readonly BlockRun[]} runs
   */
  update(runs) {
    const context = contextOf(this.#cells);
    for (const [first, count, state, position, bornAt, parent] of runs) {
      for (let i = 0; i < count; i++) {
        const block = first + i;
        this.states[block] = state;
        this.positions[block] = position < 0 ? -1 : position + i;
        this.parents[block] = i === 0 || position < 0 ? parent : block - 1;
        this.bornAt[block] = bornAt;
      }
      context.fillStyle = this.#colors[state];
      for (let i = 0; i < count; i++) this.#fill(context, first + i);
    }
  }

  /** Blocks by state, in the order of `STATES`. */
  counts() {
    const counts = STATES.map(() => 0);
    for (const state of this.states) counts[state]++;
    return counts;
  }

  /** @param {number} block */
  words(block) {
    return WORDS[this.states[block]];
  }

  /**
   * The block at a place of the window, or null.
   *
   * @param {number} clientX
   * @param {number} clientY
   */
  blockAt(clientX, clientY) {
    const { left, top } = this.#cells.getBoundingClientRect();
    const column = Math.floor(((clientX - left) * devicePixelRatio) / this.#size);
    const row = Math.floor(((clientY - top) * devicePixelRatio) / this.#size);
    if (column < 0 || column >= this.#columns || row < 0) return null;
    const block = row * this.#columns + column;
    return block < this.states.length ? block : null;
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
        this.bornAt[parent] <= this.bornAt[child];
      if (!holds) break;
      chain.push(parent);
      child = parent;
    }
    return chain;
  }

  /**
   * Puts a frame around blocks; the rest steps back.
   *
   * @param {number[]} blocks
   */
  mark(blocks) {
    this.#marked = blocks;
    this.#drawMarks();
  }

  #layOut() {
    const width = Math.floor(this.#box.clientWidth * devicePixelRatio);
    const height = Math.floor(this.#box.clientHeight * devicePixelRatio);
    for (const canvas of [this.#cells, this.#marks]) {
      canvas.width = width;
      canvas.height = height;
      canvas.style.width = `${width / devicePixelRatio}px`;
      canvas.style.height = `${height / devicePixelRatio}px`;
    }
    const { length } = this.states;
    if (length === 0 || width === 0 || height === 0) return;
    const largest = 26 * devicePixelRatio;
    this.#size = Math.max(1, Math.min(largest, Math.floor(Math.sqrt((width * height) / length))));
    while (this.#size > 1 && !this.#fits(width, height)) this.#size--;
    while (this.#size < largest && this.#fits(width, height, this.#size + 1)) this.#size++;
    this.#columns = Math.floor(width / this.#size);
    this.#colors = STATES.map((name) => color(name));
    const context = contextOf(this.#cells);
    context.clearRect(0, 0, width, height);
    for (let block = 0; block < length; block++) {
      context.fillStyle = this.#colors[this.states[block]];
      this.#fill(context, block);
    }
    this.#drawMarks();
  }

  /**
   * @param {number} width
   * @param {number} height
   */
  #fits(width, height, size = this.#size) {
    return Math.floor(width / size) * Math.floor(height / size) >= this.states.length;
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {number} block
   */
  #fill(context, block) {
    // Below four pixels a gap would be most of the picture.
    const gap = this.#size < 4 ? 0 : Math.max(1, Math.round(this.#size / 9));
    const [x, y] = this.#place(block);
    context.fillRect(x, y, this.#size - gap, this.#size - gap);
  }

  /**
   * @param {number} block
   * @returns {[number, number]}
   */
  #place(block) {
    const row = Math.floor(block / this.#columns);
    return [(block - row * this.#columns) * this.#size, row * this.#size];
  }

  #drawMarks() {
    const context = contextOf(this.#marks);
    context.clearRect(0, 0, this.#marks.width, this.#marks.height);
    if (this.#marked.length === 0) return;
    context.fillStyle = color('panel');
    context.globalAlpha = 0.55;
    const rows = Math.ceil(this.states.length / this.#columns);
    context.fillRect(0, 0, this.#columns * this.#size, rows * this.#size);
    context.globalAlpha = 1;
    for (const block of this.#marked) {
      const [x, y] = this.#place(block);
      context.clearRect(x, y, this.#size, this.#size);
    }
  }
}

/** @param {HTMLCanvasElement} canvas */
function contextOf(canvas) {
  const context = canvas.getContext('2d');
  if (!context) throw new Error('no canvas');
  return context;
}
