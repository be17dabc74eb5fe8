/** @import { DashboardEvents } from '../dashboard/events.js' */
/** @import { FigureValues } from '../dashboard/figures.js' */
/** @import { Percentiles } from '../dashboard/latency-window.js' */
/** @import { ChartOptions } from './charts.mjs' */
import { ApiError, askForKey, events, isUnauthorised, request } from './api.mjs';
import { BlockMap } from './block-map.mjs';
import { Chart } from './charts.mjs';
import { element, elementOf } from './elements.mjs';
import { RequestList } from './request-list.mjs';
import { addThemeToggle } from './theme.mjs';

/**
 * @param {string} id
 * @param {string} text
 */
const show = (id, text) => {
  element(id).textContent = text;
};
const whole = new Intl.NumberFormat('en');
/** @param {number} value */
const count = (value) => whole.format(Math.round(value));
/** @param {number} share */
const percent = (share) => `${(100 * share).toFixed(share > 0 && share < 0.0995 ? 1 : 0)} %`;

/**
 * Milliseconds with the digits that matter.
 *
 * @param {number} value
 */
function ms(value) {
  if (value >= 10_000) return `${(value / 1000).toFixed(0)} s`;
  if (value >= 1000) return `${(value / 1000).toFixed(1)} s`;
  return `${value.toFixed(value < 9.95 ? 1 : 0)} ms`;
}

addThemeToggle(element('theme'));
const map = new BlockMap(element('map'), [
  elementOf('blocks', HTMLCanvasElement),
  elementOf('marks', HTMLCanvasElement),
]);
const list = new RequestList(element('requests'), element('nothing'), (blocks) => map.mark(blocks));

/** @param {ChartOptions} options */
const chart = (options) => new Chart(element('charts'), options);
const throughput = chart({
  title: 'Tokens a second',
  series: [
    ['output', 'used'],
    ['prompt', 'shared'],
  ],
  format: count,
});
/** @type {ChartOptions['series']} */
const PERCENTILES = [
  ['p50', 'phase-schedule'],
  ['p95', 'used'],
  ['p99', 'phase-sample'],
];
const firstToken = chart({ title: 'Time to first token', series: PERCENTILES, format: ms });
const between = chart({ title: 'Between tokens', series: PERCENTILES, format: ms });
const PHASES = /** @type {const} */ (['segments', 'attention', 'sample', 'schedule']);
const steps = chart({
  title: 'Step time',
  series: [...PHASES, 'other'].map((name) => [name, `phase-${name}`]),
  format: ms,
  stacked: true,
});

const RECENT = 60;
/**
 * Figures of the last minute, one a second; their differences are the rates.
 *
 * @type {FigureValues[]}
 */
let recent = [];
/** The server's blocks, and what its clock said when by ours. */
let server = { numBlocks: 0, blockSize: 1 };
let engineTime = { at: 0, time: 0 };

/** @type {{ [Name in keyof DashboardEvents]: (data: DashboardEvents[Name]) => void }} */
const handlers = {
  server(data) {
    server = data;
    recent = [];
    map.resize(data.numBlocks);
    list.clear();
    show('model', `${data.model} · ${data.kvDtype} · blocks of ${data.blockSize}`);
  },

  figures(data) {
    const last = recent.at(-1);
    recent = [...recent, data].slice(-RECENT - 1);
    setState(data.state, data.state === 'ready' ? 'good' : 'bad');
    showFigures(data);
    if (last) drawCharts(data, last);
  },

  snapshot({ time, runs, requests, waiting }) {
    engineTime = { at: performance.now(), time };
    map.update(runs);
    list.update(requests);
    const [free, cached, used, shared] = map.counts();
    for (const [name, value] of Object.entries({ free, cached, used, shared })) {
      show(`count-${name}`, count(value));
    }
    const running = requests.filter(({ state }) => state === 'running').length;
    show('running', count(running));
    show('requests-note', `${count(waiting)} waiting`);
    show('kv', percent((used + shared) / server.numBlocks));
    show('kv-note', `${count(used + shared)} of ${count(server.numBlocks)} blocks`);
    updateTip();
  },
};

/**
 * @param {string} text
 * @param {'good' | 'bad'} kind
 */
function setState(text, kind) {
  show('state', text);
  element('state').className = `pill ${kind}`;
}

/** @param {FigureValues} data */
function showFigures(data) {
  const before = recent.at(-4) ?? recent[0];
  const seconds = (data.time - before.time) / 1000;
  /** @param {'generatedTokens' | 'promptTokens'} name */
  const rate = (name) => (seconds > 0 ? count((data[name] - before[name]) / seconds) : '–');
  show('output-rate', rate('generatedTokens'));
  show('output-note', `${count(data.generatedTokens)} since this page watches`);
  show('prompt-rate', rate('promptTokens'));
  show('prompt-note', `${count(data.promptTokens)} since then`);
  for (const name of /** @type {const} */ (['ttft', 'itl'])) {
    const values = data[name];
    show(name, values ? ms(values.p50 * 1000) : '–');
    show(
      `${name}-note`,
      values ? `p95 ${ms(values.p95 * 1000)} · p99 ${ms(values.p99 * 1000)}` : 'last 30 s',
    );
  }
  const prompts = data.promptTokens - recent[0].promptTokens;
  const cached = data.cachedTokens - recent[0].cachedTokens;
  show('hits', prompts > 0 ? percent(cached / prompts) : '–');
  show('hits-note', prompts > 0 ? `${count(cached)} of ${count(prompts)} in 60 s` : 'last 60 s');
}

/**
 * @param {FigureValues} data
 * @param {FigureValues} last
 */
function drawCharts(data, last) {
  const seconds = (data.time - last.time) / 1000;
  throughput.push([
    (data.generatedTokens - last.generatedTokens) / seconds,
    (data.promptTokens - last.promptTokens) / seconds,
  ]);
  /** @param {Percentiles | null} values */
  const parts = (values) =>
    values ? [values.p50, values.p95, values.p99].map((value) => value * 1000) : [null, null, null];
  firstToken.push(parts(data.ttft));
  between.push(parts(data.itl));
  const stepCount = data.steps - last.steps;
  if (stepCount === 0) return steps.push([...PHASES, 'other'].map(() => null));
  /** @param {keyof FigureValues['phases']} phase */
  const mean = (phase) => (data.phases[phase] - last.phases[phase]) / stepCount;
  const named = PHASES.map(mean);
  const other = Math.max(0, mean('total') - named.reduce((sum, value) => sum + value, 0));
  steps.push([...named, other]);
}

// What is under the pointer: it changes when the pointer moves, and when the blocks do.
/** @type {PointerEvent | null} */
let pointer = null;
element('map').addEventListener('pointermove', (event) => {
  pointer = event;
  updateTip();
});
element('map').addEventListener('pointerleave', () => {
  pointer = null;
  map.mark([]);
  updateTip();
});

function updateTip() {
  const tip = element('tip');
  const block = pointer && map.blockAt(pointer.clientX, pointer.clientY);
  tip.hidden = block === null;
  if (pointer === null) return;
  if (block === null) return map.mark([]);
  map.mark(map.chainOf(block));
  tip.textContent = describe(block).join('\n');
  const { width, height } = tip.getBoundingClientRect();
  const left = Math.min(pointer.clientX + 14, innerWidth - width - 8);
  const top = Math.min(pointer.clientY + 14, innerHeight - height - 8);
  tip.style.left = `${left}px`;
  tip.style.top = `${top}px`;
}

/** @param {number} block */
function describe(block) {
  const lines = [`Block ${count(block)}: ${map.words(block)}`];
  const place = map.positions[block];
  if (place < 0) return lines;
  const chain = map.chainOf(block).length;
  const first = place * server.blockSize;
  lines.push(`Tokens ${first} to ${first + server.blockSize - 1} of its sequence`);
  lines.push(
    chain === place + 1
      ? `Chain of ${chain} ${chain === 1 ? 'block' : 'blocks'}`
      : `Chain of ${place + 1} blocks, the first ${place + 1 - chain} are gone`,
  );
  const now = engineTime.time + performance.now() - engineTime.at;
  lines.push(`Allocated ${age(now - map.bornAt[block])} ago`);
  const holders = list.holdersOf(block);
  const shown = holders.slice(0, 4).join('\n');
  if (holders.length > 0) lines.push(`Held by ${shown}`);
  if (holders.length > 4) lines.push(`and ${holders.length - 4} more`);
  return lines;
}

/** @param {number} value */
function age(value) {
  const seconds = Math.max(0, value) / 1000;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  return `${(seconds / 3600).toFixed(1)} h`;
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
      const response = await request('/dashboard/events');
      for await (const { name, data } of events(response)) {
        if (isOurs(name)) handlers[name](JSON.parse(data));
      }
      setState('disconnected', 'bad');
    } catch (error) {
      setState(error instanceof ApiError ? error.message : 'disconnected', 'bad');
      if (isUnauthorised(error)) {
        await askForKey(element('key'));
        continue;
      }
    }
    await new Promise((resolve) => {
      setTimeout(resolve, 1000);
    });
  }
}

void follow();
