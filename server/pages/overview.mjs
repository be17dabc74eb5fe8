/** @import { ModelFigures, ModelsEvent, OverviewEvent } from '../dashboard/events.js' */
/** @import { Past } from './overview-charts.mjs' */
import { element } from './elements.mjs';
import { bytes, compact, count } from './formats.mjs';
import { History } from './history.mjs';
import { ModelRow, RATE } from './model-row.mjs';
import { OverviewCharts } from './overview-charts.mjs';

/** All models side by side: figures of all, a row for each, and charts with a line for each. */
export class Overview {
  /** @type {OverviewEvent['fields']} */
  #fields = [];
  /**
   * Of models that have samples, by name.
   *
   * @type {Map<string, Past>}
   */
  #pasts = new Map();
  /** @type {Map<string, ModelRow>} */
  #rows = new Map();
  #charts = new OverviewCharts(element('model-charts'));
  #now = 0;
  #seconds = 120;

  /** @param {OverviewEvent} event */
  begin({ fields }) {
    this.#fields = fields;
    this.#pasts = new Map();
  }

  /**
   * @param {ModelsEvent} event
   * @param {string | null} wanted the model that the reader wants to see, which is not loaded yet
   */
  show({ time, models }, wanted) {
    this.#now = time;
    this.#pasts = new Map(models.flatMap((model) => this.#pastOf(model)));
    this.#showRows(models, wanted);
    this.#showFigures(models);
    this.draw();
  }

  /** @param {number} [seconds] that the charts reach back */
  draw(seconds = this.#seconds) {
    this.#seconds = seconds;
    this.#charts.draw(this.#pasts, this.#now, seconds);
  }

  /**
   * @param {ModelFigures} model
   * @returns {(readonly [string, Past])[]} none: it has never been loaded
   */
  #pastOf({ name, samples, numBlocks }) {
    const old = this.#pasts.get(name);
    if (!old && samples.length === 0) return [];
    const history = old?.history ?? new History();
    if (!old) history.begin(this.#fields);
    history.add(samples);
    return [[name, { history, blocks: numBlocks ?? old?.blocks ?? null }]];
  }

  /**
   * @param {readonly ModelFigures[]} models
   * @param {string | null} wanted
   */
  #showRows(models, wanted) {
    const names = models.map(({ name }) => name);
    // Rows stay where they are, and the focus in them.
    if (names.join('\n') !== [...this.#rows.keys()].join('\n')) {
      this.#rows = new Map(names.map((name) => [name, this.#rows.get(name) ?? new ModelRow(name)]));
      element('model-rows').replaceChildren(...[...this.#rows.values()].map(({ row }) => row));
    }
    for (const model of models) {
      const { name } = model;
      this.#rows.get(name)?.fill(model, this.#pasts.get(name), name === wanted);
    }
  }

  /** @param {readonly ModelFigures[]} models */
  #showFigures(models) {
    const loaded = models.filter(({ state }) => state === 'loaded');
    const sum = (/** @type {(history: History) => number | null} */ read) => {
      let all = 0;
      for (const { name } of loaded) {
        const past = this.#pasts.get(name);
        if (past) all += read(past.history) ?? 0;
      }
      return all;
    };
    const show = (/** @type {string} */ id, /** @type {string} */ text) => {
      element(id).textContent = text;
    };
    const memory = loaded.reduce((all, model) => all + (model.bytes ?? 0), 0);
    const waiters = models.reduce((all, model) => all + model.waiters, 0);
    show('all-loaded', `${loaded.length} of ${models.length}`);
    show('all-memory', memory > 0 ? `${bytes(memory)}, with KV caches` : '');
    show('all-output', count(sum((history) => history.rate('generated', RATE))));
    show('all-prompt', count(sum((history) => history.rate('prompt', RATE))));
    show('all-running', count(sum((history) => history.last('running'))));
    const waiting = `${compact(sum((history) => history.last('waiting')))} waiting`;
    show('all-waiting', waiters > 0 ? `${waiting}, ${waiters} for a model` : waiting);
  }
}
