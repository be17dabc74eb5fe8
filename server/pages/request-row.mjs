/** @import { RequestEvent } from '../dashboard/events.js' */
/** @import { Values } from './request-table.mjs' */
import { make } from './elements.mjs';
import { age, perSecond } from './formats.mjs';

const BADGES = { running: 'running', waiting: 'waiting', paused: 'paused', loading: 'loading' };

/** @type {Record<string, string>} */
const TITLES = {
  paused: 'Its client does not read',
  loading: 'Its blocks come from a tier behind the KV cache',
};

/**
 * What tells requests apart: the end of the id, without what all have.
 *
 * @param {string} id
 */
export function shortId(id) {
  const [, hex = id, choice = ''] = /([0-9a-f]{6})(-\d+)?$/.exec(id) ?? [];
  return choice === '-0' ? hex : hex + choice;
}

/**
 * A request in the table, with a bar: cached, computed and generated tokens of all that it may
 * have.
 */
export class RequestRow {
  item = make('tr', '');
  #badge = make('span', 'badge');
  #age = make('td', 'number');
  #prompt = make('td', 'number');
  #output = make('td', 'number');
  #rate = make('td', 'number');
  #parts = ['cached', 'prompt', 'used'].map((kind) => make('div', kind));

  /**
   * @param {string} id
   * @param {(on: boolean) => void} onPoint
   */
  constructor(id, onPoint) {
    const name = make('td', 'id');
    const button = make('button', '', shortId(id));
    button.type = 'button';
    button.title = id;
    const bar = make('div', 'bar');
    bar.append(...this.#parts);
    name.append(button, bar);
    const state = make('td', 'state');
    state.append(this.#badge);
    this.item.append(name, state, this.#age, this.#prompt, this.#output, this.#rate);
    this.item.addEventListener('pointerenter', () => onPoint(true));
    this.item.addEventListener('pointerleave', () => onPoint(false));
    button.addEventListener('focus', () => onPoint(true));
    button.addEventListener('blur', () => onPoint(false));
  }

  /**
   * @param {RequestEvent} request
   * @param {Values} values
   */
  fill({ ids, state, promptTokens, computed, generated, maxTokens, cachedTokens }, values) {
    const inPrompt = state === 'running' && computed < promptTokens;
    this.item.className = state;
    this.#badge.className = `badge ${state}`;
    this.#badge.textContent = inPrompt ? 'prompt' : BADGES[state];
    this.#badge.title = TITLES[state] ?? '';
    this.#age.textContent = age(values.age);
    this.#prompt.textContent = inPrompt ? `${computed} / ${promptTokens}` : String(promptTokens);
    const completions = ids.length > 1 ? ` × ${ids.length}` : '';
    this.#output.textContent = `${generated} / ${maxTokens}${completions}`;
    this.#rate.textContent =
      values.rate === null || state === 'waiting' ? '–' : perSecond(values.rate);
    const total = promptTokens + maxTokens;
    const cached = Math.min(cachedTokens ?? 0, computed);
    const prompt = Math.max(0, Math.min(computed, promptTokens) - cached);
    for (const [index, tokens] of [cached, prompt, generated].entries()) {
      this.#parts[index].style.width = `${(100 * tokens) / total}%`;
    }
  }
}
