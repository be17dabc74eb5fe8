/** @import { Operation } from './openapi-types.js' */
import { MOUNT_PATH, send } from './api.mjs';
import { make } from './elements.mjs';

/** Bodies that show something. */
/** @type {Record<string, object>} */
const EXAMPLES = {
  '/v1/chat/completions': {
    messages: [{ role: 'user', content: 'What is the capital of France?' }],
    max_tokens: 32,
  },
  '/v1/completions': { prompt: 'Once upon a time', max_tokens: 32 },
  '/v1/embeddings': { input: 'An owl' },
  '/v1/responses': { input: 'What is the capital of France?' },
  '/v1/responses/input_tokens': { input: 'What is the capital of France?' },
  '/tokenize': { prompt: 'An owl' },
  '/detokenize': { tokens: [1, 2, 3] },
};

/**
 * A form that sends a request and shows the answer as it comes, and the same request for a
 * terminal.
 *
 * @param {string} method
 * @param {string} path
 * @param {Operation} operation
 */
export function tryView(
  method,
  path,
  { operationId, parameters = [], requestBody: bodies, security = [] },
) {
  // A form would need files.
  const requestBody = bodies?.content['application/json'];
  const form = make('form', 'try');
  /** @type {Map<string, HTMLInputElement>} */
  const inputs = new Map();
  for (const { name, in: place } of parameters.filter((one) => one.in === 'path')) {
    const label = make('label', '', name);
    const input = make('input', '');
    input.required = place === 'path';
    label.append(input);
    form.append(label);
    inputs.set(name, input);
  }
  const body = make('textarea', 'json');
  body.spellcheck = false;
  body.id = `${operationId}-body`;
  body.value = JSON.stringify(EXAMPLES[path] ?? {}, null, 2);
  body.rows = Math.min(14, body.value.split('\n').length);
  if (requestBody) {
    const label = make('label', '', 'JSON');
    label.append(body);
    form.append(label);
  }
  const curl = make('pre', 'curl');
  curl.tabIndex = 0;
  curl.ariaLabel = `${method} ${path} for a terminal`;
  curl.role = 'region';
  const button = make('button', 'button', 'Send');
  const status = make('span', 'muted');
  status.role = 'status';
  const answer = make('pre', 'answer');
  answer.tabIndex = 0;
  answer.ariaLabel = `Answer of ${method} ${path}`;
  answer.role = 'region';
  answer.hidden = true;
  const row = make('div', 'send-row');
  row.append(button, status);
  form.append(curl, row, answer);

  const address = () =>
    path.replaceAll(/\{(\w+)\}/g, (_all, /** @type {string} */ name) =>
      encodeURIComponent(inputs.get(name)?.value ?? ''),
    );
  const showCurl = () => {
    const lines = [`curl ${location.origin}${MOUNT_PATH}${address()}`];
    if (method !== 'get' && !requestBody) lines[0] += ` -X ${method.toUpperCase()}`;
    if (security.length > 0) lines.push(`  -H 'authorization: Bearer <key>'`);
    if (requestBody) {
      lines.push(`  -H 'content-type: application/json'`);
      lines.push(`  -d '${body.value.replaceAll("'", String.raw`'\''`)}'`);
    }
    curl.textContent = lines.join(' \\\n');
  };
  form.addEventListener('input', showCurl);
  showCurl();

  const run = async () => {
    button.disabled = true;
    answer.hidden = false;
    answer.textContent = '';
    status.textContent = '…';
    const start = performance.now();
    try {
      const response = await send(address(), {
        method: method.toUpperCase(),
        ...(requestBody
          ? { body: body.value, headers: { 'content-type': 'application/json' } }
          : {}),
      });
      let text = '';
      for await (const part of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
        text += part;
        answer.textContent = text;
      }
      answer.textContent = pretty(text);
      status.textContent = `${response.status} after ${(performance.now() - start).toFixed(0)} ms`;
    } catch (error) {
      status.textContent = `no answer: ${error instanceof Error ? error.message : String(error)}`;
    }
    button.disabled = false;
  };
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    void run();
  });
  return form;
}

/** @param {string} text */
function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    // Events, metrics: as they are.
    return text;
  }
}
