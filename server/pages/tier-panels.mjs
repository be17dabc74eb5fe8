/** @import { TierName, TierStats } from '../../engine/protocol/reports.js' */
import { make } from './elements.mjs';
import { bytes, count, ms, percent } from './formats.mjs';

/** @type {Readonly<Record<TierName, string>>} */
const NAMES = { memory: 'Host memory', disk: 'Disk', redis: 'Redis' };

/** What a panel says of its tier, and why. */
const FIGURES = /** @type {const} */ ([
  ['Hits', 'Of the blocks that the KV cache did not have and this tier was asked for'],
  ['Loads', 'How often blocks were loaded from it, and how long that takes in the mean'],
  ['Loaded', 'Blocks that were loaded from it'],
  ['Stored', 'Blocks that it has taken in'],
  ['Queue', 'Blocks that wait to be written to it'],
  ['Lost', 'Blocks that it did not take for lack of room or time, or could not give back'],
]);

/** @param {TierStats} tier */
function valuesOf({ asked, found, loads, loadMs, loaded, stored, queued, dropped, failed }) {
  return [
    asked > 0 ? `${count(found)} of ${count(asked)} (${percent(found / asked)})` : '–',
    loads > 0 ? `${count(loads)}, ${ms(loadMs / loads)} each` : '–',
    count(loaded),
    count(stored),
    count(queued),
    dropped + failed > 0 ? `${count(dropped)} not taken, ${count(failed)} not given` : '0',
  ];
}

/**
 * @param {TierStats} tier
 * @returns {['good' | 'bad', string]}
 */
function stateOf({ isUp, isWritable }) {
  if (!isUp) return ['bad', 'left alone: it failed'];
  return isWritable ? ['good', 'in use'] : ['bad', 'read only: writing failed'];
}

/** A panel for each tier behind the KV cache; its figures count from the server's start. */
export class TierPanels {
  #parent;
  /** @type {Map<TierName, TierPanel>} */
  #panels = new Map();

  /** @param {HTMLElement} parent */
  constructor(parent) {
    this.#parent = parent;
  }

  /** @param {readonly TierStats[]} tiers the nearest first */
  show(tiers) {
    this.#parent.hidden = tiers.length === 0;
    // A server that was started again may have other ones.
    if (tiers.map(({ name }) => name).join() !== [...this.#panels.keys()].join()) {
      this.#panels = new Map(tiers.map(({ name }) => [name, new TierPanel(NAMES[name])]));
      this.#parent.replaceChildren(...[...this.#panels.values()].map(({ panel }) => panel));
    }
    for (const tier of tiers) this.#panels.get(tier.name)?.show(tier);
  }
}

class TierPanel {
  panel = make('div', 'panel tier');
  #state = make('span', 'pill');
  #size = make('p', 'size');
  #meter = document.createElement('meter');
  /** @type {HTMLElement[]} */
  #values = [];

  /** @param {string} title */
  constructor(title) {
    const head = make('div', 'head');
    head.append(make('h2', '', title), this.#state);
    this.#meter.setAttribute('aria-label', `${title} in use`);
    const list = make('dl', '');
    for (const [name, about] of FIGURES) {
      const row = make('div', '');
      const value = make('dd', '', '–');
      row.title = about;
      row.append(make('dt', '', name), value);
      list.append(row);
      this.#values.push(value);
    }
    this.panel.append(head, this.#size, this.#meter, list);
  }

  /** @param {TierStats} tier */
  show(tier) {
    const { bytes: used, capacityBytes, blocks } = tier;
    const [kind, state] = stateOf(tier);
    this.#state.className = `pill ${kind}`;
    this.#state.textContent = state;
    this.#size.textContent = `${bytes(used)} of ${bytes(capacityBytes)} · ${count(blocks)} blocks`;
    this.#meter.max = capacityBytes;
    this.#meter.value = used;
    for (const [i, value] of valuesOf(tier).entries()) this.#values[i].textContent = value;
  }
}
