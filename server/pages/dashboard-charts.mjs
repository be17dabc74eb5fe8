/** @import { SampleField } from '../dashboard/sample.js' */
/** @import { ChartOptions, Column } from './charts.mjs' */
/** @import { History } from './history.mjs' */
import { Chart } from './charts.mjs';
import { bytes, count, ms, perSecond } from './formats.mjs';

/** @typedef {(history: History, seconds: number) => Column[]} Read */

/**
 * @param {...SampleField} fields
 * @returns {Read}
 */
const values =
  (...fields) =>
  (history, seconds) =>
    fields.map((field) => history.column(field, seconds));

/**
 * @param {...SampleField} fields
 * @returns {Read}
 */
const rates =
  (...fields) =>
  (history, seconds) =>
    fields.map((field) => history.rates(field, seconds));

/** @type {ChartOptions['series']} */
const PERCENTILES = [
  ['p50', 'phase-schedule'],
  ['p95', 'used'],
  ['p99', 'phase-sample'],
];
const PHASES = /** @type {const} */ (['segments', 'attention', 'sample', 'schedule', 'other']);

/** @type {readonly (readonly [ChartOptions, Read])[]} */
const CHARTS = [
  [
    {
      title: 'Tokens per second',
      series: [
        ['output', 'used'],
        ['prompt', 'shared'],
      ],
      format: count,
      empty: 'No tokens in this time',
    },
    rates('generated', 'prompt'),
  ],
  [
    {
      title: 'Requests',
      series: [
        ['running', 'used'],
        ['waiting', 'shared'],
        ['paused', 'phase-sample'],
      ],
      format: count,
      empty: 'No requests in this time',
    },
    values('running', 'waiting', 'paused'),
  ],
  [
    {
      title: 'Time to first token',
      series: PERCENTILES,
      format: ms,
      empty: 'No first tokens in this time',
    },
    values('ttftP50', 'ttftP95', 'ttftP99'),
  ],
  [
    {
      title: 'Inter-token latency',
      series: PERCENTILES,
      format: ms,
      empty: 'No tokens in this time',
    },
    values('itlP50', 'itlP95', 'itlP99'),
  ],
  [
    {
      title: 'Errors per second',
      series: [
        ['5xx', 'bad'],
        ['4xx', 'shared'],
        ['client left', 'phase-other'],
      ],
      format: perSecond,
      empty: 'No errors in this time',
    },
    rates('serverErrors', 'clientErrors', 'left'),
  ],
  [
    {
      title: 'Rejections per second',
      series: [
        ['overloaded', 'bad'],
        ['rate limit', 'shared'],
        ['too long', 'phase-sample'],
        ['draining', 'phase-other'],
      ],
      format: perSecond,
      empty: 'Nothing was rejected in this time',
    },
    rates(
      'rejected overloaded',
      'rejected rate_limited',
      'rejected context_length_exceeded',
      'rejected draining',
    ),
  ],
  [
    {
      title: 'Step time',
      series: PHASES.map((name) => /** @type {const} */ ([name, `phase-${name}`])),
      format: ms,
      empty: 'No steps in this time',
      stacked: true,
    },
    values(...PHASES),
  ],
  [
    {
      title: 'Memory',
      series: [
        ['resident', 'used'],
        ['heap', 'phase-schedule'],
      ],
      format: bytes,
      empty: 'No samples yet',
    },
    values('rss', 'heap'),
  ],
  [
    {
      title: 'CPU cores in use',
      series: [['all threads', 'used']],
      format: perSecond,
      empty: 'No samples yet',
    },
    values('cpu'),
  ],
  [
    {
      title: 'Event-loop delay',
      series: [['longest', 'phase-sample']],
      format: ms,
      empty: 'No delay in this time',
    },
    values('loopDelay'),
  ],
  [
    {
      title: 'KV blocks in use',
      series: [['blocks', 'used']],
      format: count,
      empty: 'No blocks in use in this time',
    },
    values('usedBlocks'),
  ],
  [
    {
      title: 'Preemptions per second',
      series: [['preemptions', 'bad']],
      format: perSecond,
      empty: 'No preemptions in this time',
    },
    rates('preemptions'),
  ],
];

/** The charts of the server's past. */
export class DashboardCharts {
  #history;
  #charts;
  #seconds = 120;

  /**
   * @param {HTMLElement} parent
   * @param {History} history
   */
  constructor(parent, history) {
    this.#history = history;
    this.#charts = CHARTS.map(([options, read]) => ({ chart: new Chart(parent, options), read }));
  }

  /** @param {number} [seconds] that they reach back from now on */
  draw(seconds = this.#seconds) {
    this.#seconds = seconds;
    const now = this.#history.now;
    const times = this.#history.column('time', seconds).map((time) => ((time ?? now) - now) / 1000);
    for (const { chart, read } of this.#charts) {
      chart.draw(seconds, times, read(this.#history, seconds));
    }
  }
}
