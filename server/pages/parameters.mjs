import { element, elementOf } from './elements.mjs';

/** What a field says that cannot be sent. */
export class FieldError extends Error {}

/** What the fields add to a request; an empty one is left to the server. Throws FieldError. */
export function parameters() {
  /** @type {Record<string, unknown>} */
  const values = {};
  for (const name of ['temperature', 'top_p', 'max_tokens', 'seed']) {
    const { value } = elementOf(name, HTMLInputElement);
    if (value !== '') values[name] = Number(value);
  }
  const schema = json('schema', 'object');
  if (schema !== null) {
    values.response_format = { type: 'json_schema', json_schema: { name: 'answer', schema } };
  }
  const choice = elementOf('tool_choice', HTMLSelectElement).value;
  const tools = choice === 'off' ? null : json('tools', 'array');
  if (tools !== null) Object.assign(values, { tools, tool_choice: choice });
  return values;
}

/** The system prompt as a message, if there is one. */
export function systemMessage() {
  const content = elementOf('system', HTMLTextAreaElement).value.trim();
  return content === '' ? [] : [{ role: 'system', content }];
}

/** Tools need their definitions only where they are on. */
export function followToolChoice() {
  const choice = elementOf('tool_choice', HTMLSelectElement);
  const show = () => {
    element('tools-field').hidden = choice.value === 'off';
  };
  choice.addEventListener('change', show);
  show();
}

/**
 * @param {string} name
 * @param {'object' | 'array'} kind
 * @returns {unknown} null: the field is empty
 */
function json(name, kind) {
  const field = elementOf(name, HTMLTextAreaElement);
  const note = element(`${name}-error`);
  const say = (/** @type {string} */ words) => {
    note.textContent = words;
    note.hidden = words === '';
    field.ariaInvalid = String(words !== '');
    if (words === '') return;
    field.focus();
    throw new FieldError(words);
  };
  say('');
  const text = field.value.trim();
  if (text === '') return null;
  let value;
  try {
    value = JSON.parse(text);
  } catch (error) {
    say(`No JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  const isRight = kind === 'array' ? Array.isArray(value) : value?.constructor === Object;
  if (!isRight) say(`This must be a JSON ${kind}.`);
  return value;
}
