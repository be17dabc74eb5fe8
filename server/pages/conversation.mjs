/** @import { Attachment, Chat, Message, Part, QuestionTurn, Turn } from './chat-types.js' */

/** Characters of a title that is made from a question. */
const TITLE = 60;

/** What was said in one chat, without the system prompt. */
export class Conversation {
  id;
  title;
  /** @type {Turn[]} */
  turns;

  /** @param {Pick<Chat, 'id' | 'title' | 'turns'>} chat */
  constructor({ id, title, turns }) {
    this.id = id;
    this.title = title;
    this.turns = [...turns];
  }

  /** @param {string} id */
  static begin(id) {
    return new Conversation({ id, title: '', turns: [] });
  }

  /**
   * Adds a question; the first one gives the chat its title.
   *
   * @param {QuestionTurn} turn
   */
  ask(turn) {
    this.turns.push(turn);
    if (this.title === '') this.title = titleOf(turn);
  }

  /**
   * As the API takes it. A question that got no answer is left out: roles take turns.
   *
   * @returns {Message[]}
   */
  get messages() {
    /** @type {Message[]} */
    const messages = [];
    for (const turn of this.turns) {
      if (turn.role === 'assistant') {
        const { content, calls } = turn;
        if (content === '' && calls.length === 0) {
          if (messages.at(-1)?.role === 'user') messages.pop();
        } else {
          messages.push({
            role: 'assistant',
            content,
            ...(calls.length > 0 ? { tool_calls: calls } : {}),
          });
        }
      } else if (turn.role === 'tool') {
        messages.push({ role: 'tool', content: turn.content, tool_call_id: turn.callId });
      } else messages.push({ role: 'user', content: contentOf(turn) });
    }
    return messages;
  }
}

/** @param {QuestionTurn} turn */
function titleOf({ content, files }) {
  const line = content.trim().split('\n', 1)[0] || files[0]?.name || 'Chat';
  return line.length > TITLE ? `${line.slice(0, TITLE - 1).trimEnd()}…` : line;
}

/**
 * The files first, then the question; parts only where there are pictures.
 *
 * @param {QuestionTurn} turn
 * @returns {string | Part[]}
 */
function contentOf({ content, files }) {
  const texts = files.filter(({ kind }) => kind === 'text').map(fenced);
  const text = [...texts, ...(content === '' ? [] : [content])].join('\n\n');
  const pictures = files.filter(({ kind }) => kind === 'image');
  if (pictures.length === 0) return text;
  return [
    ...pictures.map(({ content: url }) => ({
      type: /** @type {const} */ ('image_url'),
      image_url: { url },
    })),
    ...(text === '' ? [] : [{ type: /** @type {const} */ ('text'), text }]),
  ];
}

/**
 * A file's name and its text between fences that are longer than any that it contains.
 *
 * @param {Attachment} file
 */
function fenced({ name, content }) {
  const longest = Math.max(2, ...(content.match(/`{3,}/g) ?? []).map(({ length }) => length));
  const fence = '`'.repeat(longest + 1);
  return `${name}:\n${fence}\n${content.replace(/\n$/, '')}\n${fence}`;
}
