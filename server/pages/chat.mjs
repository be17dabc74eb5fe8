import { askForKey, isUnauthorized, keptKey } from './api.mjs';
import { ComposerFiles } from './composer-files.mjs';
import { Conversation } from './conversation.mjs';
import { element, elementOf } from './elements.mjs';
import { KeptChats } from './kept-chats.mjs';
import { MessageList } from './message-list.mjs';
import { ModelChoice } from './model-choice.mjs';
import { keepFields, offerTools, parameters, systemMessage } from './parameters.mjs';
import { Spoken } from './spoken.mjs';
import { Talk, wordsOf } from './talk.mjs';
import { addThemeToggle } from './theme.mjs';

const [messages, send, stop, welcome] = ['messages', 'send', 'stop', 'welcome'].map(element);
const input = elementOf('input', HTMLTextAreaElement);
const composer = elementOf('composer', HTMLFormElement);

addThemeToggle(element('theme'));

// On a narrow screen, what is beside the conversation is hidden until the reader opens it.
for (const [id, query] of [
  ['chats', '(max-width: 1180px)'],
  ['parameters', '(max-width: 860px)'],
]) {
  const narrow = matchMedia(query);
  const follow = () => {
    elementOf(id, HTMLDetailsElement).open = !narrow.matches;
  };
  narrow.addEventListener('change', follow);
  follow();
}

/**
 * Calls `action` until the server accepts the key.
 *
 * @param {() => Promise<void>} action
 * @param {AbortSignal} [signal]
 */
async function withKey(action, signal) {
  for (;;) {
    const tried = keptKey();
    try {
      return await action();
    } catch (error) {
      if (!isUnauthorized(error)) throw error;
      // Another request may have been given a key meanwhile.
      if (keptKey() !== tried) continue;
      await askForKey(element('key'), signal);
    }
  }
}

const wish = keepFields();
const model = new ModelChoice(elementOf('model', HTMLSelectElement), element('model-note'), () => {
  offerTools(model.can('tools'));
});
/** @param {string} [choice] */
const showModels = async (choice) => {
  const note = element('model-error');
  note.hidden = true;
  try {
    await withKey(() => model.refresh(choice));
  } catch (error) {
    note.textContent = wordsOf(error);
    note.hidden = false;
  }
};

const spoken = new Spoken(element('spoken'));
const list = new MessageList(
  messages,
  {
    onEdit: (text) => talk.askAgain(text),
    onRetry: () => talk.retry(),
    onResults: (calls, results) => talk.give(calls, results),
  },
  (text) => spoken.say(text),
);
const talk = new Talk(
  list,
  {
    parameters: (isFirst) => ({ model: model.name || undefined, ...parameters(isFirst) }),
    system: systemMessage,
    signature: () => (model.areSeveral ? [model.name] : []),
    waitsFor: () => (model.isAsleep ? `${model.name} is loaded first …` : null),
    withKey,
    changed: (said) => chats.keep(said),
    writing: (isWriting) => {
      const hadFocus = document.activeElement === stop || document.activeElement === document.body;
      send.hidden = isWriting;
      stop.hidden = !isWriting;
      if (!isWriting && hadFocus) input.focus();
    },
    ended: (reason) => {
      if (reason === 'stopped') spoken.say('Stopped.');
      void showModels();
    },
  },
  Conversation.begin(newId()),
);
const chats = await KeptChats.open({
  current: () => talk.conversation,
  open: (id) => go(`#${id}`),
  leave: () => go(''),
});
const files = new ComposerFiles(
  {
    composer,
    list: element('files'),
    note: element('file-error'),
    picker: elementOf('picker', HTMLInputElement),
    button: element('attach'),
  },
  () => model.can('vision') ?? false,
);

function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) =>
    byte.toString(16).padStart(2, '0'),
  ).join('');
}

/** @param {string} hash of a chat, or empty: a new one */
function go(hash) {
  history.pushState(null, '', hash || location.pathname + location.search);
  void openChat();
}

/** Opens the chat that the address names, or a new one. */
async function openChat() {
  const { hash } = location;
  await talk.stop();
  const kept = hash === '' ? null : await chats.read(hash.slice(1));
  if (location.hash !== hash) return;
  if (hash !== '' && !kept) history.replaceState(null, '', location.pathname + location.search);
  talk.open(kept ? new Conversation(kept) : Conversation.begin(newId()));
  welcome.hidden = talk.conversation.turns.length > 0;
  input.focus();
  await chats.show();
}

/** @param {string} text */
function ask(text) {
  if (talk.isWriting || (text === '' && files.isEmpty)) return false;
  welcome.hidden = true;
  history.replaceState(null, '', `#${talk.conversation.id}`);
  talk.ask(text, files.take());
  spoken.say('The model is asked.');
  return true;
}

composer.addEventListener('submit', (event) => {
  event.preventDefault();
  if (!ask(input.value.trim())) return;
  input.value = '';
  input.focus();
});
input.addEventListener('keydown', (event) => {
  if (event.isComposing) return;
  if (event.key === 'Escape') void talk.stop();
  if (event.key !== 'Enter' || event.shiftKey) return;
  event.preventDefault();
  composer.requestSubmit();
});
stop.addEventListener('click', () => void talk.stop());
element('new-chat').addEventListener('click', () => go(''));
for (const example of welcome.querySelectorAll('button')) {
  example.addEventListener('click', () => ask(example.textContent ?? ''));
}
addEventListener('popstate', () => void openChat());
element('model').addEventListener('focus', () => void showModels());
document.addEventListener('visibilitychange', () => {
  if (document.hidden) return;
  void chats.show();
  void showModels();
});

// Until here, Enter would not have asked.
input.disabled = false;
void openChat();
void showModels(wish);
