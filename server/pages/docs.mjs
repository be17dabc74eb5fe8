/** @import { OpenApi } from './openapi-types.js' */
import { keepKey, request } from './api.mjs';
import { element, elementOf, make } from './elements.mjs';
import { operationView } from './operation-view.mjs';
import { addThemeToggle } from './theme.mjs';

addThemeToggle(element('theme'));

/** Shows the document of this server: `/openapi.json`. */
async function showDocument() {
  const document = /** @type {OpenApi} */ (await (await request('/openapi.json')).json());
  const { info, paths, components } = document;
  element('title').textContent = `${info.title} API ${info.version}`;
  element('description').textContent = info.description ?? '';
  element('key').hidden = components?.securitySchemes === undefined;
  /** @type {Map<string, HTMLElement>} */
  const groups = new Map();
  for (const [path, methods] of Object.entries(paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const tag = operation.tags?.[0] ?? 'other';
      const group = groups.get(tag) ?? addGroup(tag);
      groups.set(tag, group);
      const view = operationView(method, path, operation);
      group.append(view);
      const link = make('a', '');
      link.href = `#${operation.operationId}`;
      link.append(make('span', `method ${method}`, method), ` ${path}`);
      link.addEventListener('click', () => {
        view.open = true;
      });
      element('index').append(link);
    }
  }
  const asked = location.hash && window.document.getElementById(location.hash.slice(1));
  if (asked instanceof HTMLDetailsElement) {
    asked.open = true;
    asked.scrollIntoView();
  }
}

/** @param {string} tag */
function addGroup(tag) {
  const title = `${tag.charAt(0).toUpperCase()}${tag.slice(1)}`;
  const group = make('section', '');
  group.append(make('h2', '', title));
  element('operations').append(group);
  element('index').append(make('b', '', title));
  return group;
}

elementOf('key', HTMLFormElement).addEventListener('submit', (event) => {
  event.preventDefault();
  keepKey(elementOf('key-input', HTMLInputElement).value);
  element('key-note').textContent = 'It is sent from now on.';
});

showDocument().catch((error) => {
  element('failure').hidden = false;
  element('failure').textContent = `The document did not come: ${error.message}`;
});
