/** @import { Column } from './charts.mjs' */
/** @import { SampleField } from '../dashboard/sample.js' */
/** @import { History } from './history.mjs' */
import { Chart } from './charts.mjs';
import { count, ms, percent } from './formats.mjs';
import { bySecond } from './history.mjs';

/** Colors of the models, in their order; more models begin again. */
const COLORS = [
  'used',
  'shared',
  'phase-schedule',
  'phase-sample',
  'bad',
  'good',
  'waiting-ink',
  'phase-other',
];

/**
 * A model's figures over time; `blocks` are those of its KV cache, null while it is not loaded.
 *
 * @typedef {{ readonly history: History, readonly blocks: number | null }} Past
 */

/** @typedef {(past: Past) => Column} Read one number for each sample of the model */

/**
 * @param {SampleField} field
 * @returns {Read}
 */
const values =
  (field) =>
  ({ history }) =>
    history.column(field, Infinity);

/**
 * @param {SampleField} field
 * @returns {Read}
 */
const rates =
  (field) =>
  ({ history }) =>
    history.rates(field, Infinity);

/** @type {Read} */
const shareInUse = ({ history, blocks }) =>
  history
    .column('usedBlocks', Infinity)
    .map((used) => (used === null || !blocks ? null : used / blocks));

/** @type {readonly (readonly [string, (value: number) => string, string, Read])[]} */
const CHARTS = [
  ['Output tokens per second', count, 'No tokens in this time', rates('generated')],
  ['Prompt tokens per second', count, 'No prompts in this time', rates('prompt')],
  ['Running requests', count, 'No requests in this time', values('running')],
  ['Waiting requests', count, 'No request has waited in this time', values('waiting')],
  ['Time to first token, p50', ms, 'No first tokens in this time', values('ttftP50')],
  ['Inter-token latency, p50', ms, 'No tokens in this time', values('itlP50')],
  ['KV cache in use', percent, 'No blocks in use in this time', shareInUse],
];

/** The models' past, a line for each in every chart. */
export class OverviewCharts {
  #parent;
  /** @type {readonly string[]} */
  #names = [];
  /** @type {Chart[]} */
  #charts = [];

  /** @param {HTMLElement} parent */
  constructor(parent) {
    this.#parent = parent;
  }

  /**
   * @param {ReadonlyMap<string, Past>} pasts by the names of the models
   * @param {number} now on the server's clock, milliseconds
   * @param {number} seconds that the charts reach back
   */
  draw(pasts, now, seconds) {
    const names = [...pasts.keys()];
    if (names.join('\n') !== this.#names.join('\n') || this.#charts.length === 0) {
      this.#names = names;
      this.#create();
    }
    const times = Array.from({ length: seconds }, (_, second) => second + 1 - seconds);
    for (const [index, [, , , read]] of CHARTS.entries()) {
      const columns = [...pasts.values()].map((past) =>
        bySecond(past.history.column('time', Infinity), read(past), now, seconds),
      );
      this.#charts[index].draw(seconds, times, columns);
    }
  }

  #create() {
    for (const chart of this.#charts) chart.close();
    const series = this.#names.map(
      (name, i) => /** @type {const} */ ([name, COLORS[i % COLORS.length]]),
    );
    this.#charts = CHARTS.map(
      ([title, format, empty]) => new Chart(this.#parent, { title, series, format, empty }),
    );
  }
}
