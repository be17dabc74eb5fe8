/** @import { DashboardEvents } from '../dashboard/events.js' */
import { ApiError, askForKey, events, isUnauthorized, request } from './api.mjs';
import { BlockMap } from './block-map.mjs';
import { BlockTip } from './block-tip.mjs';
import { DashboardCharts } from './dashboard-charts.mjs';
import { element, elementOf } from './elements.mjs';
import { bytes, compact, count, ms, percent, span, tails } from './formats.mjs';
import { History } from './history.mjs';
import { RequestTable } from './request-table.mjs';
import { addThemeToggle } from './theme.mjs';
import { TierPanels } from './tier-panels.mjs';

/** Seconds that rates are means of, and that hits and errors are counted over. */
const RATE = 3;
const RECENT = 60;
const ALL = 900;

const models = elementOf('models', HTMLSelectElement);
models.addEventListener('change', () => {
  location.search = `?model=${encodeURIComponent(models.value)}`;
});

/**
 * @param {string} id
 * @param {string} text
 */
const show = (id, text) => {
  element(id).textContent = text;
};

addThemeToggle(element('theme'));
const history = new History();
/** The server's blocks, and what its engine's clock said when by ours. */
let server = { numBlocks: 0, blockSize: 1 };
let engineTime = { at: 0, time: 0 };

const map = new BlockMap(
  element('map'),
  [elementOf('blocks', HTMLCanvasElement), elementOf('marks', HTMLCanvasElement)],
  ({ perCell }) => show('scale', perCell > 1 ? `a cell is ${perCell} blocks` : ''),
);
const table = new RequestTable(
  {
    columns: element('columns'),
    live: element('requests'),
    ended: element('ended'),
    empty: element('nothing'),
  },
  (blocks) => map.mark(blocks),
);
const tip = new BlockTip(map, element('map'), element('tip'), element('cell'), {
  blockSize: () => server.blockSize,
  now: () => engineTime.time + performance.now() - engineTime.at,
  holdersOf: (block) => table.holdersOf(block),
});
const tiers = new TierPanels(element('tiers'));
const charts = new DashboardCharts(element('charts'), history);
const spans = [...document.querySelectorAll('.choice button')];
for (const button of /** @type {HTMLButtonElement[]} */ (spans)) {
  button.addEventListener('click', () => {
    for (const other of spans) other.setAttribute('aria-pressed', String(other === button));
    charts.draw(Number(button.dataset.seconds));
  });
}

/** @type {{ [Name in keyof DashboardEvents]: (data: DashboardEvents[Name]) => void }} */
const handlers = {
  server(data) {
    server = data;
    element('content').hidden = false;
    history.begin(data.fields);
    map.resize(data.numBlocks);
    table.clear();
    element('model').hidden = false;
    models.hidden = data.models.length < 2;
    models.replaceChildren(
      ...data.models.map((name) => new Option(name, name, false, name === data.model)),
    );
    show('eviction', `evicted by ${data.evictionPolicy}`);
    show('scheduling', `served by ${data.schedulingPolicy}`);
    const gpu = data.gpu ? ` · ${describeGpu(data.gpu)}` : '';
    show('model', `${data.model} · ${data.kvDtype} · blocks of ${data.blockSize}${gpu}`);
  },

  figures({ state, samples, ended, tiers: figures = [] }) {
    setState(state, state === 'ready' ? 'good' : 'bad');
    table.addEnded(ended);
    tiers.show(figures);
    history.add(samples);
    if (history.last('time') === null) return;
    showFigures();
    charts.draw();
  },

  snapshot({ time, runs, requests }) {
    engineTime = { at: performance.now(), time };
    map.update(runs);
    table.update(requests, time);
    const { free, cached, used, shared } = map.counts();
    for (const [name, value] of Object.entries({ free, cached, used, shared })) {
      show(`count-${name}`, count(value));
    }
    // An encoder has none.
    show('kv', percent((used + shared) / Math.max(1, server.numBlocks)));
    show('kv-note', `${count(used + shared)} of ${count(server.numBlocks)}`);
    tip.update();
  },
};

/**
 * Its name, and the part of its memory that the KV cache takes.
 *
 * @param {NonNullable<DashboardEvents['server']['gpu']>} gpu
 */
function describeGpu({ name, memory, kvCache }) {
  const part = memory === null ? bytes(kvCache) : `${bytes(kvCache)} of ${bytes(memory)}`;
  return `${name}, KV cache ${part}`;
}

/**
 * @param {string} text
 * @param {'good' | 'bad' | 'plain'} kind
 */
function setState(text, kind) {
  show('state', text);
  element('state').className = `pill ${kind}`;
}

function showFigures() {
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
  show('hits-note', prompts > 0 ? `${compact(cached)} of ${compact(prompts)}, 60 s` : 'last 60 s');
  show('running', count(history.last('running') ?? 0));
  const paused = history.last('paused') ?? 0;
  const waiting = `${count(history.last('waiting') ?? 0)} waiting`;
  show('requests-note', paused > 0 ? `${waiting} · ${count(paused)} paused` : waiting);
  const errors = history.sum('serverErrors', RECENT);
  show('errors', count(errors));
  element('errors').className = errors > 0 ? 'bad' : '';
  show('errors-note', `${compact(history.sum('clientErrors', RECENT))} × 4xx, last 60 s`);
}

/**
 * @param {string} name
 * @returns {name is keyof DashboardEvents}
 */
function isOurs(name) {
  return Object.hasOwn(handlers, name);
}

/** Reads the feed until it ends, and again after a moment. */
async function follow() {
  for (;;) {
    try {
      const response = await request(`/dashboard/events${location.search}`);
      for await (const { name, data } of events(response)) {
        if (isOurs(name)) handlers[name](JSON.parse(data));
      }
      setState('disconnected', 'bad');
    } catch (error) {
      if (isUnauthorized(error)) {
        setState('key needed', 'plain');
        element('content').hidden = true;
        await askForKey(element('key'));
        continue;
      }
      setState(error instanceof ApiError ? error.message : 'disconnected', 'bad');
    }
    await new Promise((resolve) => {
      setTimeout(resolve, 1000);
    });
  }
}

void follow();
