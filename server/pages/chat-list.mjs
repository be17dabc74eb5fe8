/** @import { ChatHead } from './chat-types.js' */
import { make } from './elements.mjs';
import { actionButton } from './message-actions.mjs';

/**
 * What the reader does with the list.
 *
 * @typedef {object} ChatListEvents
 * @property {(id: string) => void} onOpen
 * @property {(id: string, title: string) => void} onRename
 * @property {(id: string) => void} onDelete
 */

/** The chats that are kept, as a list; the one that is open can be renamed and deleted. */
export class ChatList {
  #root;
  #events;

  /**
   * @param {HTMLElement} root
   * @param {ChatListEvents} events
   */
  constructor(root, events) {
    this.#root = root;
    this.#events = events;
  }

  /**
   * @param {readonly ChatHead[]} heads
   * @param {string} current
   */
  show(heads, current) {
    // What is being renamed stays until that has ended.
    if (this.#root.querySelector('form')) return;
    const hadFocus = this.#root.contains(document.activeElement);
    this.#root.replaceChildren(...heads.map((head) => this.#itemOf(head, head.id === current)));
    if (!hadFocus) return;
    const open = this.#root.querySelector('[aria-current]') ?? this.#root.querySelector('button');
    if (open instanceof HTMLElement) open.focus();
  }

  /**
   * @param {ChatHead} head
   * @param {boolean} isOpen
   */
  #itemOf(head, isOpen) {
    const { id, title, changedAt } = head;
    const item = make('li', isOpen ? 'open' : '');
    const open = make('button', 'chat', title);
    open.type = 'button';
    open.title = `${title}\n${new Date(changedAt).toLocaleString()}`;
    open.addEventListener('click', () => this.#events.onOpen(id));
    item.append(open);
    if (!isOpen) return item;
    open.ariaCurrent = 'true';
    const actions = make('div', 'actions');
    const remove = actionButton('Delete', () => {
      if (confirm(`Delete the chat "${title}"?`)) this.#events.onDelete(id);
    });
    actions.append(
      actionButton('Rename', () => this.#rename(item, head)),
      remove,
    );
    item.append(actions);
    return item;
  }

  /**
   * @param {HTMLElement} item
   * @param {ChatHead} head
   */
  #rename(item, { id, title }) {
    const form = make('form', 'rename');
    const field = make('input', '');
    field.value = title;
    field.maxLength = 200;
    field.ariaLabel = 'Name of the chat';
    form.append(field, make('button', 'action', 'Save'));
    const shown = [...item.childNodes];
    const close = () => {
      item.replaceChildren(...shown);
      item.querySelector('button')?.focus();
    };
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      const name = field.value.trim();
      close();
      if (name !== '' && name !== title) this.#events.onRename(id, name);
    });
    form.addEventListener('keydown', ({ key }) => {
      if (key === 'Escape') close();
    });
    item.replaceChildren(form);
    field.select();
    field.focus();
  }
}
