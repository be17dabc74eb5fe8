/** @import { DashboardEvents } from '../dashboard/events.js' */
import { ApiError, askForKey, events, isUnauthorized, request } from './api.mjs';
import { element, elementOf } from './elements.mjs';
import { ModelPage } from './model-page.mjs';
import { Overview } from './overview.mjs';
import { addThemeToggle } from './theme.mjs';

addThemeToggle(element('theme'));

/** The model that the address names; null: all, or the only one. */
const wanted = new URLSearchParams(location.search).get('model');
const models = elementOf('models', HTMLSelectElement);
models.addEventListener('change', () => {
  location.search = models.value === '' ? '' : `?model=${encodeURIComponent(models.value)}`;
});
const page = new ModelPage();
const overview = new Overview();
const spans = /** @type {HTMLButtonElement[]} */ ([...document.querySelectorAll('.choice button')]);
for (const button of spans) {
  button.addEventListener('click', () => {
    const { seconds } = button.dataset;
    for (const other of spans) other.ariaPressed = String(other.dataset.seconds === seconds);
    page.draw(Number(seconds));
    overview.draw(Number(seconds));
  });
}

/**
 * Shows one model, or all of them, or nothing.
 *
 * @param {'content' | 'overview' | null} id
 */
function showPage(id) {
  element('content').hidden = id !== 'content';
  element('overview').hidden = id !== 'overview';
  element('model').hidden = id !== 'content';
}

/**
 * @param {readonly string[]} names
 * @param {string} chosen empty: all
 */
function showChoice(names, chosen) {
  models.hidden = names.length < 2;
  const shown = Array.from(models.options, ({ value }) => value);
  // A list that is open closes when its options are replaced.
  if (['', ...names].join('\n') !== shown.join('\n')) {
    models.replaceChildren(
      new Option('All models', ''),
      ...names.map((name) => new Option(name, name)),
    );
  }
  models.value = chosen;
}

/**
 * The model that the reader waits for is loaded now: its own feed is there.
 */
let isOver = false;

/** @type {{ [Name in keyof DashboardEvents]: (data: DashboardEvents[Name]) => void }} */
const handlers = {
  overview(data) {
    showPage('overview');
    overview.begin(data);
    setState('ready', 'good');
  },

  models(data) {
    const names = data.models.map(({ name }) => name);
    const only = names.length === 1 ? names[0] : null;
    const awaited = data.models.find(({ name }) => name === (wanted ?? only));
    showChoice(names, awaited?.name ?? '');
    overview.show(data, awaited?.name ?? null);
    isOver = awaited?.state === 'loaded';
    const note = element('asleep');
    note.hidden = !awaited;
    note.textContent = `${awaited?.name} is not loaded. A request loads it; then it is shown here.`;
  },

  server(data) {
    showPage('content');
    showChoice(data.models, data.model);
    page.begin(data);
  },

  figures(data) {
    setState(data.state, data.state === 'ready' ? 'good' : 'bad');
    page.showFigures(data);
  },

  snapshot(data) {
    page.showSnapshot(data);
  },
};

/**
 * @param {string} text
 * @param {'good' | 'bad' | 'plain'} kind
 */
function setState(text, kind) {
  element('state').textContent = text;
  element('state').className = `pill ${kind}`;
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
      const response = await request(`/dashboard/events${location.search}`);
      for await (const { name, data } of events(response)) {
        if (isOurs(name)) handlers[name](JSON.parse(data));
        if (isOver) break;
      }
      if (!isOver) setState('disconnected', 'bad');
      isOver = false;
    } catch (error) {
      if (isUnauthorized(error)) {
        setState('key needed', 'plain');
        showPage(null);
        await askForKey(element('key'));
        continue;
      }
      setState(error instanceof ApiError ? error.message : 'disconnected', 'bad');
    }
    await new Promise((resolve) => {
      setTimeout(resolve, 1000);
    });
  }
}

void follow();
