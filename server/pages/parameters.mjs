import { element, elementOf } from './elements.mjs';
import { PAGE_TOOLS } from './page-tools.mjs';

/** What a field says that cannot be sent. */
export class FieldError extends Error {}

const KEPT = 'octavo-chat-settings';

const NUMBERS = /** @type {const} */ ([
  'temperature',
  'top_p',
  'top_k',
  'min_p',
  'max_tokens',
  'seed',
]);

/**
 * What the fields add to a request; an empty one is left to the server. Throws FieldError.
 *
 * @param {boolean} isFirst whether a call may be required: not when results are given, or it would
 *   never end
 */
export function parameters(isFirst) {
  /** @type {Record<string, unknown>} */
  const values = {};
  for (const name of NUMBERS) {
    const { value } = elementOf(name, HTMLInputElement);
    if (value !== '') values[name] = Number(value);
  }
  const schema = json('schema', 'object');
  if (schema !== null) {
    values.response_format = { type: 'json_schema', json_schema: { name: 'answer', schema } };
  }
  const tools = toolDefinitions();
  if (tools.length > 0) {
    const choice = elementOf('tool_choice', HTMLSelectElement).value;
    Object.assign(values, { tools, tool_choice: isFirst ? choice : 'auto' });
  }
  return values;
}

function toolDefinitions() {
  const choice = elementOf('tool_choice', HTMLSelectElement);
  if (choice.value === 'off' || choice.disabled) return [];
  const own = /** @type {unknown[]} */ (json('tools', 'array') ?? []);
  const isOn = elementOf('page_tools', HTMLInputElement).checked;
  return [...(isOn ? PAGE_TOOLS : []), ...own];
}

/**
 * The system prompt as a message, if there is one.
 *
 * @returns {{ role: 'system', content: string }[]}
 */
export function systemMessage() {
  const content = elementOf('system', HTMLTextAreaElement).value.trim();
  return content === '' ? [] : [{ role: 'system', content }];
}

/**
 * Says whether the model calls tools; null: not known.
 *
 * @param {boolean | null} can
 */
export function offerTools(can) {
  elementOf('tool_choice', HTMLSelectElement).disabled = can === false;
  element('no-tools').hidden = can !== false;
  showToolFields();
}

/** Tools need their definitions only where they are on. */
function showToolFields() {
  const { value, disabled } = elementOf('tool_choice', HTMLSelectElement);
  element('tools-field').hidden = value === 'off' || disabled;
}

const fields = () =>
  /** @type {(HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement)[]} */ ([
    ...element('parameters').querySelectorAll('input, select, textarea'),
  ]);

/** @param {Element} field */
const isSwitch = (field) => field instanceof HTMLInputElement && field.type === 'checkbox';

/**
 * Fills the fields with what was kept in this browser, and keeps what is changed from now on.
 *
 * @returns {string | undefined} the model that was chosen
 */
export function keepFields() {
  /** @type {Record<string, string | boolean>} */
  let kept = {};
  try {
    kept = JSON.parse(localStorage.getItem(KEPT) ?? '{}');
  } catch {
    // Not ours, or of a version that is gone.
    localStorage.removeItem(KEPT);
  }
  for (const field of fields()) {
    const value = kept[field.id];
    if (typeof value === 'string') field.value = value;
    if (typeof value === 'boolean' && field instanceof HTMLInputElement) field.checked = value;
  }
  showToolFields();
  element('parameters').addEventListener('change', () => {
    showToolFields();
    const values = fields().map((field) => [
      field.id,
      isSwitch(field) && field instanceof HTMLInputElement ? field.checked : field.value,
    ]);
    localStorage.setItem(KEPT, JSON.stringify(Object.fromEntries(values)));
  });
  const form = elementOf('fields', HTMLFormElement);
  // Enter in a field changes it, and sends nothing.
  form.addEventListener('submit', (event) => event.preventDefault());
  element('reset-fields').addEventListener('click', () => {
    localStorage.removeItem(KEPT);
    const model = elementOf('model', HTMLSelectElement);
    const { value } = model;
    form.reset();
    model.value = value;
    showToolFields();
  });
  return typeof kept['model'] === 'string' ? kept['model'] : undefined;
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
    for (
      let box = field.closest('details');
      box;
      box = box.parentElement?.closest('details') ?? null
    ) {
      box.open = true;
    }
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
