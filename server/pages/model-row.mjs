/** @import { ModelFigures } from '../dashboard/events.js' */
/** @import { Past } from './overview-charts.mjs' */
import { make } from './elements.mjs';
import { age, bytes, count, ms, percent, perSecond } from './formats.mjs';

/** Seconds that rates are means of. */
export const RATE = 3;

/** @type {Readonly<Record<ModelFigures['state'], readonly [words: string, badge: string]>>} */
const STATES = {
  loaded: ['loaded', 'running'],
  loading: ['loading', 'loading'],
  unloaded: ['asleep', ''],
  unloading: ['falling asleep', 'waiting'],
  failed: ['failed', 'bad'],
};

/** A model in the table of all. */
export class ModelRow {
  row = make('tr', '');
  #badge = make('span', 'badge');
  #note = make('small', '');
  #cells = Array.from({ length: 8 }, () => make('td', 'number'));

  /** @param {string} name */
  constructor(name) {
    const link = make('a', '', name);
    link.href = `?model=${encodeURIComponent(name)}`;
    const head = make('th', 'name');
    head.scope = 'row';
    head.append(link);
    const state = make('td', 'state');
    state.append(this.#badge, this.#note);
    this.row.append(head, state, ...this.#cells);
  }

  /**
   * @param {ModelFigures} model
   * @param {Past | undefined} past
   * @param {boolean} isWanted whether the reader wants to see it, and it is not loaded
   */
  fill({ state, bytes: size, expiresIn, failure, waiters, numBlocks }, past, isWanted) {
    this.row.className = isWanted ? 'wanted' : '';
    const [words, badge] = STATES[state];
    this.#badge.textContent = words;
    this.#badge.className = `badge ${badge}`;
    this.#note.textContent = failure ?? (expiresIn === null ? '' : `asleep in ${age(expiresIn)}`);
    const history = state === 'loaded' ? past?.history : undefined;
    const used = history?.last('usedBlocks') ?? null;
    const waiting = history?.last('waiting') ?? null;
    const texts = [
      format(history?.last('running') ?? null, count),
      format(waiters > 0 ? waiters + (waiting ?? 0) : waiting, count),
      format(history?.rate('generated', RATE) ?? null, perSecond),
      format(history?.rate('prompt', RATE) ?? null, perSecond),
      format(history?.last('ttftP50') ?? null, ms),
      format(history?.last('itlP50') ?? null, ms),
      format(used === null || !numBlocks ? null : used / numBlocks, percent),
      format(size, bytes),
    ];
    for (const [i, text] of texts.entries()) this.#cells[i].textContent = text;
  }
}

/**
 * @param {number | null} value
 * @param {(value: number) => string} write
 */
const format = (value, write) => (value === null ? '–' : write(value));
