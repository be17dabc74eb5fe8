/** @import { RequestEvent } from '../dashboard/events.js' */
/** @import { EndedRequest } from '../dashboard/history.js' */
import { make } from './elements.mjs';
import { age, perSecond } from './formats.mjs';
import { RequestRow, shortId } from './request-row.mjs';
import { Sorting } from './sorting.mjs';

/** Ended requests that are shown. */
const ENDED = 50;
/** Milliseconds over which a request's speed is measured. */
const SPEED_MS = 2000;

/** Normal ends of requests; a client may leave at any time. */
const FINE = new Set(['stop', 'length', 'tool_calls', 'abort', 'client_closed']);

/**
 * A row's values, as they are sorted.
 *
 * @typedef {{
 *   id: string, state: string, age: number, prompt: number, output: number, rate: number | null
 * }} Values
 */

/**
 * The requests that wait, run or are paused, and below them those that ended last. In order of
 * service, or as a click on a column's head says.
 */
export class RequestTable {
  #live;
  #ended;
  #empty;
  #onPoint;
  /** @type {Map<string, RequestRow>} */
  #rows = new Map();
  /** @type {HTMLTableRowElement[]} */
  #endedRows = [];
  /** @type {Map<string, { time: number, generated: number }[]>} */
  #speeds = new Map();
  /**
   * Each request's block table by its first id.
   *
   * @type {Map<string, number[]>}
   */
  #tables = new Map();
  /** @type {readonly RequestEvent[]} */
  #requests = [];
  #time = 0;
  #sorting;

  /**
   * @param {{ columns: HTMLElement, live: HTMLElement, ended: HTMLElement, empty: HTMLElement }}
   *   places
   * @param {(blocks: number[]) => void} onPoint called with a request's blocks while the pointer is
   *   on it, and with none afterwards
   */
  constructor({ columns, live, ended, empty }, onPoint) {
    this.#live = live;
    this.#ended = ended;
    this.#empty = empty;
    this.#onPoint = onPoint;
    this.#sorting = new Sorting(
      columns,
      [
        ['id', 'Request'],
        ['state', 'State'],
        ['age', 'Age'],
        ['prompt', 'Prompt'],
        ['output', 'Output'],
        ['rate', 'tok/s'],
      ],
      () => this.#draw(),
    );
  }

  /** Forgets everything: the next update has whole tables. */
  clear() {
    this.#tables = new Map();
    this.#speeds = new Map();
    for (const row of this.#endedRows) row.remove();
    this.#endedRows = [];
    this.update([], this.#time);
  }

  /**
   * Requests in order of service; of a block table only what has changed: `kept` entries stay,
   * `blocks` follow.
   *
   * @param {readonly RequestEvent[]} requests
   * @param {number} time on the engine's clock
   */
  update(requests, time) {
    /** @type {Map<string, number[]>} */
    const tables = new Map();
    /** @type {Map<string, { time: number, generated: number }[]>} */
    const speeds = new Map();
    for (const { ids, kept, blocks, generated } of requests) {
      const [id] = ids;
      const table = (this.#tables.get(id) ?? []).slice(0, kept);
      tables.set(id, table.concat(blocks));
      const points = (this.#speeds.get(id) ?? []).filter((point) => point.time > time - SPEED_MS);
      speeds.set(id, [...points, { time, generated }]);
    }
    this.#tables = tables;
    this.#speeds = speeds;
    this.#requests = requests;
    this.#time = time;
    this.#draw();
  }

  /** @param {readonly EndedRequest[]} ended oldest first */
  addEnded(ended) {
    for (const request of ended) {
      const row = make('tr', 'ended');
      const failed = !FINE.has(request.finish);
      const id = make('td', 'id', shortId(request.id));
      id.title = request.id;
      const finish = make('td', 'state');
      finish.append(
        make(
          'span',
          failed ? 'badge bad' : 'badge',
          request.finish === 'client_closed' ? 'client left' : request.finish.replaceAll('_', ' '),
        ),
      );
      row.append(
        id,
        finish,
        make('td', 'number', age(request.ms)),
        make('td', 'number', String(request.promptTokens)),
        make('td', 'number', String(request.generated)),
        make('td', 'number', request.rate === null ? '–' : perSecond(request.rate)),
      );
      this.#ended.prepend(row);
      this.#endedRows.unshift(row);
    }
    for (const row of this.#endedRows.splice(ENDED)) row.remove();
    this.#showEmpty();
  }

  /**
   * Ids of the requests that hold a block.
   *
   * @param {number} block
   */
  holdersOf(block) {
    return [...this.#tables].filter(([, table]) => table.includes(block)).map(([id]) => id);
  }

  #draw() {
    /** @type {Map<string, RequestRow>} */
    const rows = new Map();
    const entries = this.#requests.map((request) => {
      const [id] = request.ids;
      const row = this.#rows.get(id) ?? this.#makeRow(id);
      rows.set(id, row);
      const values = this.#valuesOf(request);
      row.fill(request, values);
      return { row, values };
    });
    for (const [id, row] of this.#rows) if (!rows.has(id)) row.item.remove();
    this.#rows = rows;
    for (const [index, { row }] of this.#sorting.sort(entries).entries()) {
      if (this.#live.children[index] !== row.item) {
        this.#live.insertBefore(row.item, this.#live.children[index] ?? null);
      }
    }
    this.#showEmpty();
  }

  #showEmpty() {
    this.#empty.hidden = this.#rows.size + this.#endedRows.length > 0;
  }

  /** @param {string} id */
  #makeRow(id) {
    return new RequestRow(id, (on) => this.#onPoint(on ? (this.#tables.get(id) ?? []) : []));
  }

  /**
   * @param {RequestEvent} request
   * @returns {Values}
   */
  #valuesOf({ ids, state, arrivedAt, promptTokens, generated }) {
    const points = this.#speeds.get(ids[0]) ?? [];
    const [from, to] = [points[0], points[points.length - 1]];
    const seconds = from ? (to.time - from.time) / 1000 : 0;
    return {
      id: ids[0],
      state,
      age: this.#time - arrivedAt,
      prompt: promptTokens,
      output: generated,
      rate: seconds > 0.2 ? (to.generated - from.generated) / seconds : null,
    };
  }
}
