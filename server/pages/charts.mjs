import { color, onTheme } from './theme.mjs';
import uPlot from './uplot.mjs';

/** Seconds that a chart shows, one point for each. */
const POINTS = 120;
const X = Array.from({ length: POINTS }, (_, i) => i + 1 - POINTS);

/**
 * What a chart shows: the label and the colour's name of each series (stacked ones from the bottom up), and how a value is written.
 *
 * @typedef {object} ChartOptions
 * @property {string} title
 * @property {readonly (readonly [label: string, color: string])[]} series
 * @property {(value: number) => string} format
 * @property {boolean} [stacked]
 */

/** @typedef {(number | null)[]} Column */

/** A chart of the last two minutes: a line for each series, or areas that stand on each other. */
export class Chart {
  #series;
  #stacked;
  /** @type {uPlot | null} */
  #plot = null;
  #box;
  /** @type {HTMLElement[]} */
  #values = [];
  /**
   * One for each series, oldest first.
   *
   * @type {Column[]}
   */
  #columns;

  /**
   * @param {HTMLElement} parent
   * @param {ChartOptions} options
   */
  constructor(parent, { title, series, format, stacked = false }) {
    this.#series = series;
    this.#stacked = stacked;
    this.format = format;
    this.#columns = series.map(() => Array.from({ length: POINTS }, () => null));
    const panel = document.createElement('div');
    panel.className = 'panel chart';
    const head = document.createElement('div');
    head.className = 'head';
    const heading = document.createElement('h2');
    heading.textContent = title;
    const legend = document.createElement('ul');
    legend.className = 'legend';
    for (const [label, name] of series) {
      const item = document.createElement('li');
      const swatch = document.createElement('i');
      swatch.style.background = `var(--${name})`;
      const value = document.createElement('b');
      item.append(swatch, `${label} `, value);
      legend.append(item);
      this.#values.push(value);
    }
    head.append(heading, legend);
    this.#box = document.createElement('div');
    this.#box.className = 'plot';
    panel.append(head, this.#box);
    parent.append(panel);
    onTheme(() => this.#create());
    new ResizeObserver(() => this.#create()).observe(this.#box);
  }

  /**
   * The next second's values; null: nothing happened.
   *
   * @param {Column} values
   */
  push(values) {
    for (const [index, column] of this.#columns.entries()) {
      column.shift();
      column.push(values[index]);
    }
    this.#plot?.setData(this.#data());
    this.#showValues(POINTS - 1);
  }

  /** @param {number} index */
  #showValues(index) {
    for (const [i, value] of this.#values.entries()) {
      const number = this.#columns[i][index];
      value.textContent = number === null ? '–' : this.format(number);
    }
  }

  /** @returns {uPlot.AlignedData} */
  #data() {
    if (!this.#stacked) return [X, ...this.#columns];
    /** @type {Column[]} */
    const tops = [];
    for (const column of this.#columns) {
      const below = tops.at(-1);
      tops.push(column.map((value, i) => (value === null ? null : value + (below?.[i] ?? 0))));
    }
    // The tallest is drawn first, and the others over it.
    return [X, ...tops.reverse()];
  }

  /**
   * @param {string} paint
   * @returns {uPlot.Series}
   */
  #look(paint) {
    const points = { show: false };
    return this.#stacked
      ? { width: 0, points, fill: paint }
      : { stroke: paint, width: 1.6, points };
  }

  #create() {
    const { clientWidth: width, clientHeight: height } = this.#box;
    if (width === 0) return;
    this.#plot?.destroy();
    const [muted, line] = [color('muted'), color('line')];
    const series = this.#stacked ? this.#series.toReversed() : this.#series;
    const axis = { stroke: muted, font: '11px system-ui, sans-serif', ticks: { show: false } };
    this.#plot = new uPlot(
      {
        width,
        height,
        legend: { show: false },
        padding: [8, 14, 0, 0],
        cursor: { y: false, drag: { setScale: false }, points: { show: !this.#stacked, size: 6 } },
        scales: {
          x: { time: false, range: [1 - POINTS, 0] },
          y: { range: (_plot, _min, max) => [0, (max || 10) * 1.15] },
        },
        axes: [
          {
            ...axis,
            size: 22,
            gap: 4,
            grid: { show: false },
            values: (_plot, ticks) => ticks.map((tick) => (tick === 0 ? 'now' : `${-tick} s`)),
            splits: () => [-90, -60, -30, 0],
          },
          {
            ...axis,
            size: 46,
            gap: 4,
            space: 34,
            grid: { stroke: line, width: 1 },
            values: (_plot, ticks) => ticks.map((tick) => (tick === 0 ? '0' : this.format(tick))),
          },
        ],
        series: [{}, ...series.map(([, name]) => this.#look(color(name)))],
        hooks: {
          setCursor: [({ cursor }) => this.#showValues(cursor.idx ?? POINTS - 1)],
        },
      },
      this.#data(),
      this.#box,
    );
  }
}
