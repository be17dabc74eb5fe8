/** @import { Chunk, Message, Run } from './chat-types.js' */
import { AnswerView } from './answer-view.mjs';
import { ApiError, askForKey, events, isUnauthorised, request } from './api.mjs';
import { element, elementOf, make } from './elements.mjs';
import { addThemeToggle } from './theme.mjs';

const [messages, send, stop, welcome] = ['messages', 'send', 'stop', 'welcome'].map(element);
const input = elementOf('input', HTMLTextAreaElement);
const composer = elementOf('composer', HTMLFormElement);
const model = elementOf('model', HTMLSelectElement);

/**
 * The conversation as the API takes it, without the system prompt.
 *
 * @type {Message[]}
 */
let history = [];
/**
 * Aborts the answer that is being written.
 *
 * @type {AbortController | null}
 */
let writing = null;

addThemeToggle(element('theme'));

// On a narrow screen the conversation needs the place, until somebody asks for the parameters.
const narrow = matchMedia('(max-width: 760px)');
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
      if (!isUnauthorised(error)) throw error;
      await askForKey(element('key'), signal);
    }
  }
}

async function showModels() {
  const { data } = await (await request('/v1/models')).json();
  const options = /** @type {{ id: string }[]} */ (data).map(({ id }) => new Option(id, id));
  model.replaceChildren(...options);
}

/** What the fields say; an empty one is left to the server. */
function parameters() {
  /** @type {Record<string, number>} */
  const values = {};
  for (const name of ['temperature', 'top_p', 'max_tokens', 'seed']) {
    const { value } = elementOf(name, HTMLInputElement);
    if (value !== '') values[name] = Number(value);
  }
  return values;
}

/**
 * @param {Message[]} said
 * @returns {Message[]}
 */
function withSystem(said) {
  const system = elementOf('system', HTMLTextAreaElement).value.trim();
  return system === '' ? said : [{ role: 'system', content: system }, ...said];
}

/** @param {string} text */
async function ask(text) {
  history.push({ role: 'user', content: text });
  welcome.hidden = true;
  messages.append(make('div', 'message user text', text));
  const view = new AnswerView(messages);
  /** @type {Run} */
  const run = {
    controller: new AbortController(),
    history,
    start: 0,
    first: 0,
    last: 0,
    usage: null,
    reason: null,
  };
  writing = run.controller;
  setWriting(true);
  messages.scrollTop = messages.scrollHeight;
  try {
    await withKey(() => readAnswer(run, view), run.controller.signal);
  } catch (error) {
    if (run.controller.signal.aborted) run.reason = 'stopped';
    else view.fail(error instanceof ApiError ? error.message : `no answer: ${wordsOf(error)}`);
  }
  view.end(figures(run));
  keep(run.history, view);
  if (writing !== run.controller) return;
  writing = null;
  setWriting(false);
  input.focus();
}

/**
 * @param {Run} run
 * @param {AnswerView} view
 */
async function readAnswer(run, view) {
  run.start = performance.now();
  const response = await request('/v1/chat/completions', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model: model.value || undefined,
      messages: withSystem(run.history),
      stream: true,
      stream_options: { include_usage: true },
      ...parameters(),
    }),
    signal: run.controller.signal,
  });
  for await (const { data } of events(response)) {
    if (data === '[DONE]') return;
    const chunk = /** @type {Chunk} */ (JSON.parse(data));
    if (chunk.error) throw new ApiError(chunk.error.message, 0);
    if (chunk.usage) run.usage = chunk.usage;
    const [choice] = chunk.choices;
    if (!choice) continue;
    run.reason = choice.finish_reason ?? run.reason;
    const { content, reasoning_content: reasoning, tool_calls: calls } = choice.delta;
    if (!content && !reasoning && !calls) continue;
    run.last = performance.now();
    run.first ||= run.last;
    const atEnd = messages.scrollHeight - messages.scrollTop - messages.clientHeight < 40;
    view.add(choice.delta);
    if (atEnd) messages.scrollTop = messages.scrollHeight;
  }
  throw new ApiError('the connection ended before the answer did', 0);
}

/**
 * The words under an answer.
 *
 * @param {Run} run
 */
function figures({ start, first, last, usage, reason }) {
  const words = [];
  if (usage) {
    const { prompt_tokens: prompt, completion_tokens: generated } = usage;
    words.push(`${generated} tokens`);
    if (generated > 1 && last > first) {
      words.push(`${((1000 * (generated - 1)) / (last - first)).toFixed(0)} tok/s`);
    }
    const cached = usage.prompt_tokens_details?.cached_tokens ?? 0;
    words.push(`${cached} of ${prompt} prompt tokens cached`);
  }
  if (first > 0)
    words.splice(Math.min(2, words.length), 0, `first after ${(first - start).toFixed(0)} ms`);
  if (reason === 'length') words.push('cut at max tokens');
  else if (reason !== null && reason !== 'stop') words.push(reason.replace('_', ' '));
  return words;
}

/**
 * What was written stays in its conversation, also of an answer that was stopped. Without one, the question goes, too.
 *
 * @param {Message[]} said
 * @param {AnswerView} view
 */
function keep(said, view) {
  const calls = view.toolCalls;
  if (view.text === '' && calls.length === 0) said.pop();
  else
    said.push({
      role: 'assistant',
      content: view.text,
      ...(calls.length > 0 ? { tool_calls: calls } : {}),
    });
}

/** @param {unknown} error */
function wordsOf(error) {
  return error instanceof Error ? error.message : String(error);
}

/** @param {boolean} on */
function setWriting(on) {
  send.hidden = on;
  stop.hidden = !on;
}

composer.addEventListener('submit', (event) => {
  event.preventDefault();
  const text = input.value.trim();
  if (text === '' || writing) return;
  input.value = '';
  void ask(text);
});
input.addEventListener('keydown', (event) => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  composer.requestSubmit();
});
stop.addEventListener('click', () => writing?.abort());
element('clear').addEventListener('click', () => {
  writing?.abort();
  history = [];
  welcome.hidden = false;
  messages.replaceChildren(welcome);
  input.focus();
});

withKey(showModels).catch((error) => new AnswerView(messages).fail(wordsOf(error)));
