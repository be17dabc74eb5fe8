/** @import { ListedModel } from './chat-types.js' */
import { request } from './api.mjs';
import { count } from './formats.mjs';

/** @type {Readonly<Record<ListedModel['state'], string>>} */
const STATES = {
  loaded: 'loaded',
  loading: 'loading',
  unloaded: 'asleep',
  unloading: 'falling asleep',
  failed: 'could not be loaded',
};

/** What a model can do beyond text, in the words of the note. */
const SKILLS = /** @type {const} */ ([
  ['tools', 'calls tools'],
  ['thinking', 'reasons'],
  ['vision', 'sees images'],
]);

/** The models of the server, each with its state, and what the chosen one can do. */
export class ModelChoice {
  #select;
  #note;
  #onChange;
  /** @type {readonly ListedModel[]} */
  #models = [];
  /**
   * By name, of those that were chosen.
   *
   * @type {Map<string, ReadonlySet<string>>}
   */
  #skills = new Map();

  /**
   * @param {HTMLSelectElement} select
   * @param {HTMLElement} note says what the chosen one is
   * @param {() => void} onChange another one is chosen, or more is known of it
   */
  constructor(select, note, onChange) {
    this.#select = select;
    this.#note = note;
    this.#onChange = onChange;
    select.addEventListener('change', () => void this.#describe());
  }

  /** Empty before the models are known: the server then takes its first. */
  get name() {
    return this.#select.value;
  }

  get areSeveral() {
    return this.#models.length > 1;
  }

  /** Whether a request has to wait until the model is loaded. */
  get isAsleep() {
    const model = this.#chosen();
    return model !== undefined && model.state !== 'loaded';
  }

  /**
   * Whether the chosen model can do something, as far as its files say; null: they are not known.
   *
   * @param {'tools' | 'vision' | 'completion'} skill
   */
  can(skill) {
    return this.#skills.get(this.name)?.has(skill) ?? null;
  }

  /**
   * Asks the server. The choice stays, if the model is still there.
   *
   * @param {string} [wish] the choice at first
   */
  async refresh(wish = this.name) {
    const { data } = await (await request('/v1/models')).json();
    this.#models = /** @type {ListedModel[]} */ (data);
    const ids = this.#models.map(({ id }) => id);
    const shown = Array.from(this.#select.options, ({ value }) => value);
    // A list that is open closes when its options are replaced.
    if (ids.join('\n') !== shown.join('\n')) {
      this.#select.replaceChildren(...ids.map((id) => new Option(id, id)));
      if (ids.includes(wish)) this.#select.value = wish;
    }
    for (const [index, { id, state }] of this.#models.entries()) {
      const label = this.areSeveral ? `${id} (${STATES[state]})` : id;
      this.#select.options[index].text = label;
    }
    await this.#describe();
  }

  /** @returns {ListedModel | undefined} */
  #chosen() {
    return this.#models.find(({ id }) => id === this.name);
  }

  async #describe() {
    this.#show();
    const { name } = this;
    if (name === '' || this.#skills.has(name)) return;
    const options = { method: 'POST', headers: { 'content-type': 'application/json' } };
    const body = JSON.stringify({ model: name });
    try {
      const { capabilities } = await (await request('/api/show', { ...options, body })).json();
      this.#skills.set(name, new Set(capabilities));
    } catch {
      // Damaged files, of which the request for an answer tells, too: all is offered until then.
      return;
    }
    this.#show();
  }

  #show() {
    const model = this.#chosen();
    if (!model) return;
    const words = [model.state === 'unloaded' ? 'asleep until it is asked' : STATES[model.state]];
    if (model.max_model_len !== null) words.push(`context of ${count(model.max_model_len)} tokens`);
    for (const [skill, can] of SKILLS) if (this.#skills.get(model.id)?.has(skill)) words.push(can);
    if (this.can('completion') === false) words.push('makes vectors, and cannot chat');
    this.#note.textContent = words.join(' · ');
    this.#onChange();
  }
}
