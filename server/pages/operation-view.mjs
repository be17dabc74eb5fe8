/** @import { Operation } from './openapi-types.js' */
import { make } from './elements.mjs';
import { fieldsView, typeWords } from './schema-view.mjs';
import { tryView } from './try-view.mjs';

/**
 * A route: folded, and made when it is opened.
 *
 * @param {string} method
 * @param {string} path
 * @param {Operation} operation
 */
export function operationView(method, path, operation) {
  const details = make('details', 'panel operation');
  details.id = operation.operationId;
  const summary = make('summary', '');
  summary.append(
    make('span', `method ${method}`, method),
    make('code', '', path),
    make('span', 'muted', operation.summary ?? ''),
  );
  if (operation.security && operation.security.length > 0) {
    summary.append(make('span', 'required', 'key'));
  }
  details.append(summary);
  details.addEventListener('toggle', () => details.append(bodyOf(method, path, operation)), {
    once: true,
  });
  return details;
}

/**
 * @param {string} method
 * @param {string} path
 * @param {Operation} operation
 */
function bodyOf(method, path, operation) {
  const body = make('div', 'operation-body');
  if (operation.parameters && operation.parameters.length > 0) {
    const list = make('ul', '');
    for (const { name, in: place, required, schema } of operation.parameters) {
      const item = make('li', '');
      item.append(
        make('code', '', name),
        make('span', 'type', `in ${place}, ${typeWords(schema ?? {})}`),
      );
      if (required) item.append(make('span', 'required', 'required'));
      list.append(item);
    }
    const fields = make('div', 'fields');
    fields.append(list);
    body.append(make('h3', '', 'Parameters'), fields);
  }
  const bodies = operation.requestBody?.content ?? {};
  const schema = (bodies['application/json'] ?? bodies['multipart/form-data'])?.schema;
  if (schema)
    body.append(make('h3', '', 'Body'), fieldsView(schema) ?? make('p', '', typeWords(schema)));
  for (const [status, { description, content = {} }] of Object.entries(operation.responses)) {
    for (const [type, { schema: answer = {} }] of Object.entries(content)) {
      const of =
        status === 'default' || status === '4XX' ? 'Error' : `Answer ${status}, ${description}`;
      body.append(make('h3', '', `${of}: ${type}`));
      body.append(fieldsView(answer) ?? make('p', 'muted', typeWords(answer)));
    }
  }
  body.append(make('h3', '', 'Try it'), tryView(method, path, operation));
  return body;
}
