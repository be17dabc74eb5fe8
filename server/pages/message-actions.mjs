/** @import { ToolCall } from './chat-types.js' */
import { make } from './elements.mjs';

/**
 * @param {string} label
 * @param {(button: HTMLButtonElement) => void} action
 */
export function actionButton(label, action) {
  const button = make('button', 'action', label);
  button.type = 'button';
  button.addEventListener('click', () => action(button));
  return button;
}

/**
 * A button that copies a text, and says so.
 *
 * @param {() => string} text
 */
export const copyButton = (text) => actionButton('Copy', (button) => void copy(text(), button));

/**
 * Code blocks come and go while an answer is written: one listener is for all of them.
 *
 * @param {HTMLElement} root
 */
export function copyCodeBlocks(root) {
  root.addEventListener('click', ({ target }) => {
    if (!(target instanceof HTMLButtonElement) || !target.matches('.copy')) return;
    void copy(target.closest('.code')?.querySelector('code')?.textContent ?? '', target);
  });
}

/**
 * @param {string} text
 * @param {HTMLButtonElement} button
 */
async function copy(text, button) {
  try {
    // Pages of http have no clipboard, unless they are on this machine.
    if (isSecureContext) await navigator.clipboard.writeText(text);
    else copySelected(text, button);
    button.textContent = 'Copied';
  } catch {
    button.textContent = 'The browser refused';
  }
  setTimeout(() => {
    button.textContent = 'Copy';
  }, 1500);
}

/**
 * As before there was a clipboard to write to.
 *
 * @param {string} text
 * @param {HTMLElement} place that has the focus, and keeps it
 */
function copySelected(text, place) {
  const field = make('textarea', 'unseen');
  field.value = text;
  place.after(field);
  field.select();
  const isCopied = document.execCommand('copy');
  field.remove();
  place.focus();
  if (!isCopied) throw new Error('not copied');
}

/**
 * A form for another wording of a question.
 *
 * @param {string} text
 * @param {(text: string) => void} onSend
 * @param {() => void} onCancel
 */
export function editForm(text, onSend, onCancel) {
  const form = make('form', 'edit');
  const field = make('textarea', '');
  field.value = text;
  field.ariaLabel = 'Your message';
  const buttons = make('div', 'edit-buttons');
  const send = make('button', 'button', 'Send');
  const cancel = make('button', 'button quiet', 'Cancel');
  cancel.type = 'button';
  buttons.append(cancel, send);
  form.append(field, buttons);
  cancel.addEventListener('click', onCancel);
  form.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') onCancel();
  });
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    if (field.value.trim() !== '') onSend(field.value.trim());
  });
  return form;
}

/**
 * A form for what the tools have given.
 *
 * @param {readonly ToolCall[]} calls
 * @param {(results: string[]) => void} onGive
 */
export function resultForm(calls, onGive) {
  const form = make('form', 'results');
  const fields = calls.map(({ function: { name } }) => {
    const label = make('label', '', `Result of ${name}`);
    const field = make('input', '');
    field.required = true;
    field.placeholder = 'text or JSON';
    label.append(field);
    form.append(label);
    return field;
  });
  form.append(make('button', 'button quiet', calls.length > 1 ? 'Give results' : 'Give result'));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    onGive(fields.map(({ value }) => value));
  });
  return form;
}
