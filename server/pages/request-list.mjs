/** @import { RequestEvent } from '../dashboard/events.js' */
import { make } from './elements.mjs';

/** @typedef {{ item: HTMLLIElement, count: HTMLElement, parts: HTMLElement[] }} Row */

/** The requests that run or wait, each with a bar: cached, computed and generated tokens of all that it may have. */
export class RequestList {
  #list;
  #empty;
  /** @type {Map<string, Row>} */
  #rows = new Map();
  #onHover;
  /**
   * Each request's block table by its first id.
   *
   * @type {Map<string, number[]>}
   */
  #tables = new Map();

  /**
   * @param {HTMLElement} list
   * @param {HTMLElement} empty shown when there is no request
   * @param {(blocks: number[]) => void} onHover called with a request's blocks, and with none when the pointer leaves
   */
  constructor(list, empty, onHover) {
    this.#list = list;
    this.#empty = empty;
    this.#onHover = onHover;
  }

  /** Forgets everything: the next update has whole tables. */
  clear() {
    this.#tables = new Map();
    this.update([]);
  }

  /**
   * Requests in order of service; of a block table only what has changed: `kept` entries stay, `blocks` follow.
   *
   * @param {readonly RequestEvent[]} requests
   */
  update(requests) {
    /** @type {Map<string, number[]>} */
    const tables = new Map();
    /** @type {Map<string, Row>} */
    const rows = new Map();
    for (const request of requests) {
      const [id] = request.ids;
      const table = (this.#tables.get(id) ?? []).slice(0, request.kept);
      tables.set(id, table.concat(request.blocks));
      rows.set(id, this.#rows.get(id) ?? this.#makeRow(id));
    }
    for (const [id, row] of this.#rows) if (!rows.has(id)) row.item.remove();
    this.#tables = tables;
    this.#rows = rows;
    for (const [index, request] of requests.entries()) {
      const row = /** @type {Row} */ (rows.get(request.ids[0]));
      fill(row, request);
      if (this.#list.children[index] !== row.item) {
        this.#list.insertBefore(row.item, this.#list.children[index] ?? null);
      }
    }
    this.#empty.hidden = requests.length > 0;
  }

  /**
   * Ids of the requests that hold a block.
   *
   * @param {number} block
   */
  holdersOf(block) {
    return [...this.#tables].filter(([, table]) => table.includes(block)).map(([id]) => id);
  }

  /**
   * @param {string} id
   * @returns {Row}
   */
  #makeRow(id) {
    const item = make('li', '');
    const name = make('span', 'id', id);
    const count = make('span', 'count');
    const bar = make('div', 'bar');
    name.title = id;
    const parts = ['cached', 'prompt', 'used'].map((kind) => make('div', kind));
    bar.append(...parts);
    item.append(name, count, bar);
    item.addEventListener('pointerenter', () => this.#onHover(this.#tables.get(id) ?? []));
    item.addEventListener('pointerleave', () => this.#onHover([]));
    return { item, count, parts };
  }
}

/**
 * @param {Row} row
 * @param {RequestEvent} request
 */
function fill({ item, count, parts }, request) {
  const { ids, state, promptTokens, computed, generated, maxTokens } = request;
  item.className = state;
  const completions = ids.length > 1 ? ` × ${ids.length}` : '';
  if (state === 'waiting') count.textContent = `waits, ${promptTokens} in prompt${completions}`;
  else if (state === 'paused')
    count.textContent = `paused at ${generated}: its client does not read`;
  else if (computed < promptTokens)
    count.textContent = `prompt ${computed} of ${promptTokens}${completions}`;
  else count.textContent = `${promptTokens} + ${generated} of ${maxTokens}`;
  const total = promptTokens + maxTokens;
  const cached = Math.min(request.cachedTokens ?? 0, computed);
  const prompt = Math.max(0, Math.min(computed, promptTokens) - cached);
  for (const [index, tokens] of [cached, prompt, generated].entries()) {
    parts[index].style.width = `${(100 * tokens) / total}%`;
  }
}
