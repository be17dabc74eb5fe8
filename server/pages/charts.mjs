import { make } from './elements.mjs';
import { count } from './formats.mjs';
import { color, onTheme } from './theme.mjs';
import uPlot from './uplot.mjs';

/** Distances of an axis' numbers. */
const WHOLE = [1, 10, 100, 1000, 1e4, 1e5, 1e6].flatMap((ten) => [ten, 2 * ten, 5 * ten]);

/** @typedef {(number | null)[]} Column */

/**
 * What a chart shows: the label and the color's name of each series (stacked ones from the bottom
 * up), and how a value is written.
 *
 * @typedef {object} ChartOptions
 * @property {string} title
 * @property {readonly (readonly [label: string, color: string])[]} series
 * @property {(value: number) => string} format
 * @property {string} empty said instead of a chart of nothing
 * @property {boolean} [stacked]
 */

/** A chart of the last minutes: a line for each series, or areas that stand on each other. */
export class Chart {
  #options;
  /** @type {uPlot | null} */
  #plot = null;
  #box = make('div', 'plot');
  #empty;
  /** @type {HTMLElement[]} */
  #values = [];
  #seconds = 120;
  /** @type {number[]} */
  #times = [];
  /**
   * One for each series, oldest first.
   *
   * @type {Column[]}
   */
  #columns;
  #close;

  /**
   * @param {HTMLElement} parent
   * @param {ChartOptions} options
   */
  constructor(parent, options) {
    const { title, series, empty } = options;
    this.#options = options;
    this.#columns = series.map(() => []);
    this.#empty = make('p', 'empty', empty);
    const panel = make('div', 'panel chart');
    const head = make('div', 'head');
    const legend = make('ul', 'legend');
    for (const [label, name] of series) {
      const item = make('li', '');
      const swatch = make('i', '');
      swatch.style.background = `var(--${name})`;
      const value = make('b', '');
      item.append(swatch, `${label} `, value);
      legend.append(item);
      this.#values.push(value);
    }
    head.append(make('h3', '', title), legend);
    this.#box.append(this.#empty);
    panel.append(head, this.#box);
    parent.append(panel);
    const resizes = new ResizeObserver(() => this.#create());
    resizes.observe(this.#box);
    const stopTheme = onTheme(() => this.#create());
    this.#close = () => {
      stopTheme();
      resizes.disconnect();
      this.#plot?.destroy();
      panel.remove();
    };
  }

  /** Takes it off the page. */
  close() {
    this.#close();
  }

  /**
   * @param {number} seconds that it reaches back
   * @param {number[]} times of the values, in seconds: 0 is now
   * @param {Column[]} columns one for each series, as long as `times`; null: nothing happened
   */
  draw(seconds, times, columns) {
    const [spanChanged, wasEmpty] = [seconds !== this.#seconds, this.#isEmpty];
    this.#seconds = seconds;
    this.#times = times;
    this.#columns = columns;
    if (spanChanged || wasEmpty !== this.#isEmpty || !this.#plot) this.#create();
    else this.#plot.setData(this.#data());
    this.#showValues(times.length - 1);
  }

  get #isEmpty() {
    return this.#columns.every((column) => column.every((value) => !value));
  }

  /** @param {number} index */
  #showValues(index) {
    for (const [i, value] of this.#values.entries()) {
      const number = this.#columns[i][index] ?? null;
      value.textContent = number === null ? '–' : this.#options.format(number);
    }
  }

  /** @returns {uPlot.AlignedData} */
  #data() {
    if (!this.#options.stacked) return [this.#times, ...this.#columns];
    /** @type {Column[]} */
    const tops = [];
    for (const column of this.#columns) {
      const below = tops.at(-1);
      tops.push(column.map((value, i) => (value === null ? null : value + (below?.[i] ?? 0))));
    }
    // The tallest is drawn first, and the others over it.
    return [this.#times, ...tops.reverse()];
  }

  /**
   * @param {string} paint
   * @returns {uPlot.Series}
   */
  #look(paint) {
    const points = { show: false };
    return this.#options.stacked
      ? { width: 0, points, fill: paint }
      : { stroke: paint, width: 1.6, points };
  }

  #create() {
    const { clientWidth: width, clientHeight: height } = this.#box;
    this.#plot?.destroy();
    this.#plot = null;
    this.#empty.hidden = !this.#isEmpty;
    if (width === 0 || this.#isEmpty) return;
    const { stacked = false, series, format } = this.#options;
    const [muted, line] = [color('muted'), color('line')];
    const drawn = stacked ? series.toReversed() : series;
    const axis = { stroke: muted, font: '11px system-ui, sans-serif', ticks: { show: false } };
    const words = (/** @type {number} */ tick) =>
      tick === 0 ? 'now' : this.#seconds > 300 ? `${-tick / 60} min` : `${-tick} s`;
    this.#plot = new uPlot(
      {
        width,
        height,
        legend: { show: false },
        padding: [8, 14, 0, 0],
        cursor: { y: false, drag: { setScale: false }, points: { show: !stacked, size: 6 } },
        scales: {
          x: { time: false, range: [1 - this.#seconds, 0] },
          y: { range: (_plot, _min, max) => [0, (max || 1) * 1.15] },
        },
        axes: [
          {
            ...axis,
            size: 22,
            gap: 4,
            grid: { show: false },
            values: (_plot, ticks) => ticks.map(words),
            splits: () => (this.#seconds > 300 ? [-600, -300, 0] : [-90, -60, -30, 0]),
          },
          {
            ...axis,
            size: 52,
            gap: 4,
            space: 34,
            // Of what is counted there are no halves.
            ...(format === count && { incrs: WHOLE }),
            grid: { stroke: line, width: 1 },
            values: (_plot, ticks) => ticks.map((tick) => (tick === 0 ? '0' : format(tick))),
          },
        ],
        series: [{}, ...drawn.map(([, name]) => this.#look(color(name)))],
        hooks: {
          setCursor: [({ cursor }) => this.#showValues(cursor.idx ?? this.#times.length - 1)],
        },
      },
      this.#data(),
      this.#box,
    );
  }
}
