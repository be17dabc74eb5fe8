/** @import { FiguresEvent, ServerEvent, SnapshotEvent } from '../dashboard/events.js' */
import { BlockMap } from './block-map.mjs';
import { BlockTip } from './block-tip.mjs';
import { DashboardCharts } from './dashboard-charts.mjs';
import { element, elementOf } from './elements.mjs';
import { bytes, compact, count, ms, percent, span, tails } from './formats.mjs';
import { History } from './history.mjs';
import { RequestTable } from './request-table.mjs';
import { TierPanels } from './tier-panels.mjs';

/** Seconds that rates are means of, and that hits and errors are counted over. */
const RATE = 3;
const RECENT = 60;
const ALL = 900;

/**
 * @param {string} id
 * @param {string} text
 */
const show = (id, text) => {
  element(id).textContent = text;
};

/** One model, which is loaded: its figures, its blocks, its requests and its past. */
export class ModelPage {
  #history = new History();
  /** The server's blocks, and what its engine's clock said when by ours. */
  #server = { numBlocks: 0, blockSize: 1 };
  #engineTime = { at: 0, time: 0 };
  #map = new BlockMap(
    element('map'),
    [elementOf('blocks', HTMLCanvasElement), elementOf('marks', HTMLCanvasElement)],
    ({ perCell }) => show('scale', perCell > 1 ? `a cell is ${perCell} blocks` : ''),
  );
  #table = new RequestTable(
    {
      columns: element('columns'),
      live: element('requests'),
      ended: element('ended'),
      empty: element('nothing'),
    },
    (blocks) => this.#map.mark(blocks),
  );
  #tip = new BlockTip(this.#map, element('map'), element('tip'), element('cell'), {
    blockSize: () => this.#server.blockSize,
    now: () => this.#engineTime.time + performance.now() - this.#engineTime.at,
    holdersOf: (block) => this.#table.holdersOf(block),
  });
  #tiers = new TierPanels(element('tiers'));
  #charts = new DashboardCharts(element('charts'), this.#history);

  /** @param {ServerEvent} data */
  begin(data) {
    this.#server = data;
    this.#history.begin(data.fields);
    this.#map.resize(data.numBlocks);
    this.#table.clear();
    show('eviction', `evicted by ${data.evictionPolicy}`);
    show('scheduling', `served by ${data.schedulingPolicy}`);
    const gpu = data.gpu ? ` · ${describeGpu(data.gpu)}` : '';
    show('model', `${data.model} · ${data.kvDtype} · blocks of ${data.blockSize}${gpu}`);
  }

  /** @param {FiguresEvent} data */
  showFigures({ samples, ended, tiers = [] }) {
    this.#table.addEnded(ended);
    this.#tiers.show(tiers);
    this.#history.add(samples);
    if (this.#history.last('time') === null) return;
    this.#showTiles();
    this.#charts.draw();
  }

  /** @param {SnapshotEvent} data */
  showSnapshot({ time, runs, requests }) {
    this.#engineTime = { at: performance.now(), time };
    this.#map.update(runs);
    this.#table.update(requests, time);
    const { free, cached, used, shared } = this.#map.counts();
    for (const [name, value] of Object.entries({ free, cached, used, shared })) {
      show(`count-${name}`, count(value));
    }
    // An encoder has none.
    const { numBlocks } = this.#server;
    show('kv', percent((used + shared) / Math.max(1, numBlocks)));
    show('kv-note', `${count(used + shared)} of ${count(numBlocks)}`);
    this.#tip.update();
  }

  /** @param {number} seconds that the charts reach back */
  draw(seconds) {
    this.#charts.draw(seconds);
  }

  #showTiles() {
    const history = this.#history;
    const past = span(history.covered(ALL));
    for (const [id, field] of /** @type {const} */ ([
      ['output', 'generated'],
      ['prompt', 'prompt'],
    ])) {
      show(`${id}-rate`, count(history.rate(field, RATE) ?? 0));
      show(`${id}-note`, `${compact(history.sum(field, ALL))} in ${past}`);
    }
    for (const id of /** @type {const} */ (['ttft', 'itl'])) {
      const [p50, p95, p99] = /** @type {const} */ (['P50', 'P95', 'P99']).map((name) =>
        history.last(`${id}${name}`),
      );
      const known = p50 !== null && p95 !== null && p99 !== null;
      show(id, known ? ms(p50) : '–');
      show(`${id}-note`, known ? tails(p95, p99) : 'last 30 s');
    }
    const [prompts, cached] = [history.sum('prompt', RECENT), history.sum('cached', RECENT)];
    show('hits', prompts > 0 ? percent(cached / prompts) : '–');
    show(
      'hits-note',
      prompts > 0 ? `${compact(cached)} of ${compact(prompts)}, 60 s` : 'last 60 s',
    );
    show('running', count(history.last('running') ?? 0));
    const paused = history.last('paused') ?? 0;
    const waiting = `${count(history.last('waiting') ?? 0)} waiting`;
    show('requests-note', paused > 0 ? `${waiting} · ${count(paused)} paused` : waiting);
    const errors = history.sum('serverErrors', RECENT);
    show('errors', count(errors));
    element('errors').className = errors > 0 ? 'bad' : '';
    show('errors-note', `${compact(history.sum('clientErrors', RECENT))} × 4xx, last 60 s`);
  }
}

/**
 * Its name, and the part of its memory that the KV cache takes.
 *
 * @param {NonNullable<ServerEvent['gpu']>} gpu
 */
function describeGpu({ name, memory, kvCache }) {
  const part = memory === null ? bytes(kvCache) : `${bytes(kvCache)} of ${bytes(memory)}`;
  return `${name}, KV cache ${part}`;
}
