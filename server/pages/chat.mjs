/** @import { AnswerTurn, Run } from './chat-types.js' */
import { AnswerView } from './answer-view.mjs';
import { ApiError, askForKey, isUnauthorized, request } from './api.mjs';
import { Conversation } from './conversation.mjs';
import { element, elementOf, make } from './elements.mjs';
import {
  actionButton,
  copyButton,
  copyCodeBlocks,
  editForm,
  resultForm,
} from './message-actions.mjs';
import { FieldError, followToolChoice, parameters, systemMessage } from './parameters.mjs';
import { figures, readAnswer } from './read-answer.mjs';
import { addThemeToggle } from './theme.mjs';

const [messages, send, stop, welcome] = ['messages', 'send', 'stop', 'welcome'].map(element);
const input = elementOf('input', HTMLTextAreaElement);
const composer = elementOf('composer', HTMLFormElement);
const model = elementOf('model', HTMLSelectElement);

let conversation = Conversation.restore();
/**
 * Aborts the answer that is being written.
 *
 * @type {AbortController | null}
 */
let writing = null;

addThemeToggle(element('theme'));
followToolChoice();
copyCodeBlocks(messages);

// On a narrow screen, the parameters are hidden until the user opens them.
const narrow = matchMedia('(max-width: 860px)');
const showParameters = () => {
  elementOf('parameters', HTMLDetailsElement).open = !narrow.matches;
};
narrow.addEventListener('change', showParameters);
showParameters();

/**
 * Calls `action` until the server accepts the key.
 *
 * @param {() => Promise<void>} action
 * @param {AbortSignal} [signal]
 */
async function withKey(action, signal) {
  for (;;) {
    try {
      return await action();
    } catch (error) {
      if (!isUnauthorized(error)) throw error;
      await askForKey(element('key'), signal);
    }
  }
}

async function showModels() {
  const { data } = await (await request('/v1/models')).json();
  const options = /** @type {{ id: string }[]} */ (data).map(({ id }) => new Option(id, id));
  model.replaceChildren(...options);
}

/** @param {string} text */
function ask(text) {
  conversation.turns.push({ role: 'user', content: text });
  addQuestion(text);
  void answer();
}

/** Lets the model go on after what has been said. */
async function answer() {
  const said = conversation;
  /** @type {Run} */
  const run = {
    controller: new AbortController(),
    start: 0,
    first: 0,
    last: 0,
    usage: null,
    reason: null,
  };
  writing = run.controller;
  setWriting(true);
  const view = new AnswerView(messages);
  messages.scrollTop = messages.scrollHeight;
  try {
    const body = {
      model: model.value || undefined,
      messages: [...systemMessage(), ...said.messages],
      stream: true,
      stream_options: { include_usage: true },
      ...parameters(),
    };
    const add = (/** @type {Parameters<AnswerView['add']>[0]} */ delta) => {
      const atEnd = messages.scrollHeight - messages.scrollTop - messages.clientHeight < 60;
      view.add(delta);
      if (atEnd) messages.scrollTop = messages.scrollHeight;
    };
    await withKey(() => readAnswer(body, run, add), run.controller.signal);
  } catch (error) {
    if (run.controller.signal.aborted) run.reason = 'stopped';
    else view.fail(wordsOf(error));
  }
  const words = figures(run);
  view.end(words);
  const turn = view.turn(words);
  said.turns.push(turn);
  addAnswerActions(view.root, turn);
  if (writing !== run.controller) return;
  writing = null;
  setWriting(false);
  element('not-kept').hidden = said.keep();
  messages.scrollTop = messages.scrollHeight;
  if (!element('parameters').contains(document.activeElement)) input.focus();
}

/** @param {unknown} error */
function wordsOf(error) {
  if (error instanceof ApiError || error instanceof FieldError) return error.message;
  return `no answer: ${error instanceof Error ? error.message : String(error)}`;
}

/** @param {string} text */
function addQuestion(text) {
  welcome.hidden = true;
  const root = make('article', 'message user');
  root.ariaLabel = 'You';
  const bubble = make('div', 'text', text);
  const actions = make('div', 'actions');
  const edit = actionButton('Edit', () => {
    root.hidden = true;
    const close = () => {
      form.remove();
      root.hidden = false;
    };
    const form = editForm(
      text,
      (next) => {
        close();
        dropFrom(conversation.turns.findLastIndex(({ role }) => role === 'user'));
        ask(next);
      },
      close,
    );
    root.after(form);
    form.querySelector('textarea')?.focus();
  });
  edit.classList.add('of-last');
  actions.append(
    copyButton(() => text),
    edit,
  );
  root.append(bubble, actions);
  messages.append(root);
  showLast();
}

/**
 * @param {HTMLElement} root
 * @param {AnswerTurn} turn
 */
function addAnswerActions(root, turn) {
  const actions = make('div', 'actions');
  if (turn.content !== '') actions.append(copyButton(() => turn.content));
  const retry = actionButton('Retry', () => {
    dropFrom(conversation.turns.length - 1);
    void answer();
  });
  retry.classList.add('of-last');
  actions.append(retry);
  root.append(actions);
  if (turn.calls.length > 0) {
    const form = resultForm(turn.calls, (results) => {
      for (const [index, content] of results.entries()) {
        const { id: callId, function: called } = turn.calls[index];
        conversation.turns.push({ role: 'tool', content, callId, name: called.name });
        addResult(called.name, content);
      }
      void answer();
    });
    form.classList.add('of-last');
    root.append(form);
  }
  showLast();
}

/**
 * @param {string} name
 * @param {string} content
 */
function addResult(name, content) {
  const root = make('article', 'message result');
  root.append(make('span', 'muted', `${name} gave`), make('div', 'call', content));
  messages.append(root);
  showLast();
}

/**
 * Takes back a turn and what follows it.
 *
 * @param {number} index
 */
function dropFrom(index) {
  conversation.turns.splice(index);
  const shown = [...messages.querySelectorAll('.message')];
  for (const root of shown.slice(index)) root.remove();
  showLast();
}

/** Only the last question is edited, and only the last answer is tried again. */
function showLast() {
  const all = [...messages.querySelectorAll('.message')];
  const question = all.findLast((root) => root.matches('.user'));
  for (const root of all) {
    const isLast = root.matches('.user') ? root === question : root === all.at(-1);
    root.classList.toggle('last', isLast && writing === null);
  }
}

/** Shows the conversation as it was kept. */
function showKept() {
  for (const turn of conversation.turns) {
    if (turn.role === 'user') addQuestion(turn.content);
    else if (turn.role === 'tool') addResult(turn.name, turn.content);
    else addAnswerActions(AnswerView.of(messages, turn).root, turn);
  }
  welcome.hidden = conversation.turns.length > 0;
  messages.scrollTop = messages.scrollHeight;
}

/** @param {boolean} on */
function setWriting(on) {
  send.hidden = on;
  stop.hidden = !on;
  showLast();
}

composer.addEventListener('submit', (event) => {
  event.preventDefault();
  const text = input.value.trim();
  if (text === '' || writing) return;
  input.value = '';
  ask(text);
});
input.addEventListener('keydown', (event) => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  composer.requestSubmit();
});
stop.addEventListener('click', () => writing?.abort());
element('clear').addEventListener('click', () => {
  writing?.abort();
  conversation = new Conversation();
  Conversation.forget();
  element('not-kept').hidden = true;
  welcome.hidden = false;
  messages.replaceChildren(welcome);
  input.focus();
});
for (const example of welcome.querySelectorAll('button')) {
  example.addEventListener('click', () => {
    if (!writing) ask(example.textContent ?? '');
  });
}

showKept();
withKey(showModels).catch((error) => new AnswerView(messages).fail(wordsOf(error)));
