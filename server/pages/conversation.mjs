/** @import { Message, Turn } from './chat-types.js' */

const KEY = 'octavo-chat';

/**
 * What was said, without the system prompt. Kept in this browser, until it is forgotten.
 */
export class Conversation {
  /** @type {Turn[]} */
  turns;

  /** @param {Turn[]} turns */
  constructor(turns = []) {
    this.turns = turns;
  }

  /** The one that was kept, or a new one. */
  static restore() {
    const kept = localStorage.getItem(KEY);
    if (kept === null) return new Conversation();
    try {
      return new Conversation(JSON.parse(kept));
    } catch {
      // Not ours, or of a version that is gone.
      localStorage.removeItem(KEY);
      return new Conversation();
    }
  }

  static forget() {
    localStorage.removeItem(KEY);
  }

  /**
   * @returns {boolean} false: it is longer than the browser keeps, and what it has kept is older
   */
  keep() {
    try {
      localStorage.setItem(KEY, JSON.stringify(this.turns));
      return true;
    } catch {
      return false;
    }
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
      } else messages.push({ role: 'user', content: turn.content });
    }
    return messages;
  }
}
