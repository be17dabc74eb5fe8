import { AnswerView, make } from './answer-view.mjs';
import { ApiError, askForKey, events, request } from './api.mjs';
import { addThemeToggle } from './theme.mjs';

const element = (id) => document.getElementById(id);
const [messages, input, send, stop] = ['messages', 'input', 'send', 'stop'].map(element);

/** The conversation as the API takes it, without the system prompt. */
let history = [];
/** Aborts the answer that is being written. */
let writing = null;

addThemeToggle(element('theme'));

/** Calls `action` until the server accepts the key. */
async function withKey(action) {
  for (;;) {
    try {
      return await action();
    } catch (error) {
      if (error.status !== 401) throw error;
      await askForKey(element('key'));
    }
  }
}

async function showModels() {
  const { data } = await (await request('/v1/models')).json();
  const options = data.map(({ id }) => new Option(id, id));
  element('model').replaceChildren(...options);
}

/** What the fields say; an empty one is left to the server. */
function parameters() {
  const values = {};
  for (const name of ['temperature', 'top_p', 'max_tokens', 'seed']) {
    const { value } = element(name);
    if (value !== '') values[name] = Number(value);
  }
  return values;
}

function conversation() {
  const system = element('system').value.trim();
  return system === '' ? history : [{ role: 'system', content: system }, ...history];
}

async function ask(text) {
  history.push({ role: 'user', content: text });
  element('welcome').hidden = true;
  const question = make('div', 'message user text');
  question.textContent = text;
  messages.append(question);
  const view = new AnswerView(messages);
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
  messages.scrollTop = messages.scrollHeight;
  try {
    await withKey(() => readAnswer(run, view));
  } catch (error) {
    if (run.controller.signal.aborted) run.reason = 'stopped';
    else view.fail(error instanceof ApiError ? error.message : `no answer: ${error.message}`);
  }
  view.end(figures(run));
  keep(view);
  if (writing !== run.controller) return;
  writing = null;
  setWriting(false);
  input.focus();
}

async function readAnswer(run, view) {
  run.start = performance.now();
  const response = await request('/v1/chat/completions', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model: element('model').value || undefined,
      messages: conversation(),
      stream: true,
      stream_options: { include_usage: true },
      ...parameters(),
    }),
    signal: run.controller.signal,
  });
  for await (const { data } of events(response)) {
    if (data === '[DONE]') return;
    const chunk = JSON.parse(data);
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

/** The words under an answer. */
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

/** What was written stays in the conversation, also of an answer that was stopped. Without one, the question goes, too. */
function keep(view) {
  const calls = view.toolCalls;
  if (view.text === '' && calls.length === 0) history.pop();
  else
    history.push({
      role: 'assistant',
      content: view.text,
      ...(calls.length > 0 ? { tool_calls: calls } : {}),
    });
}

function setWriting(on) {
  send.hidden = on;
  stop.hidden = !on;
}

element('composer').addEventListener('submit', (event) => {
  event.preventDefault();
  const text = input.value.trim();
  if (text === '' || writing) return;
  input.value = '';
  void ask(text);
});
input.addEventListener('keydown', (event) => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  element('composer').requestSubmit();
});
stop.addEventListener('click', () => writing?.abort());
element('clear').addEventListener('click', () => {
  writing?.abort();
  history = [];
  const welcome = element('welcome');
  welcome.hidden = false;
  messages.replaceChildren(welcome);
  input.focus();
});

withKey(showModels).catch((error) => new AnswerView(messages).fail(error.message));
