import { clip } from '../../engine/clip.js';
import { OctavoError } from '../../engine/errors.js';
import type { CallOfMessage, ImageUrlPart, Message } from '../../engine/generation/message.js';
import {
  type Block,
  type Image,
  isUnread,
  type SystemField,
  type ToolResultBlock,
  type Turns,
} from './blocks.js';

/** A message that still grows: turns of one role that follow each other are one. */
type Growing = { -readonly [Field in keyof Omit<Message, 'content'>]: Message[Field] } & {
  content: string | readonly Part[];
};

type Part = { readonly type: 'text'; readonly text: string } | ImageUrlPart;

/** Claude Code's first system block, which differs in every request: no prefix would be shared. */
const BILLING = 'x-anthropic-billing-header:';

/**
 * The messages that a chat template knows.
 *
 * Blocks of text become lines of one text, in answers of the model pieces of it. Results of tools
 * are messages of their own, in their order. Where the template does not write what the system says
 * later, the user says it.
 *
 * @param takesLaterSystem whether the template writes system messages behind others
 * @throws OctavoError `invalid_request` for a block that no model here reads, and for the result of
 *   a call that is not in the conversation
 */
export function toMessages(
  system: SystemField | undefined,
  turns: Turns,
  takesLaterSystem: boolean,
): Message[] {
  const conversation = new Conversation(takesLaterSystem);
  if (system !== undefined && system !== null) {
    const blocks = typeof system === 'string' ? [system] : system.map(({ text }) => text);
    conversation.tell('system', blocks.filter((text) => !text.startsWith(BILLING)).join('\n'));
  }
  for (const [index, { role, content }] of turns.entries()) {
    if (typeof content === 'string') {
      if (role === 'assistant') conversation.say(content);
      else conversation.tell(role, content);
      continue;
    }
    for (const [place, block] of (content as readonly Block[]).entries()) {
      conversation.add(role, block, `messages[${index}].content[${place}]`);
    }
  }
  return conversation.messages;
}

class Conversation {
  readonly messages: Growing[] = [];
  readonly #called = new Set<string>();
  readonly #takesLaterSystem: boolean;

  constructor(takesLaterSystem: boolean) {
    this.#takesLaterSystem = takesLaterSystem;
  }

  /** Text that the model is told. */
  tell(by: 'user' | 'system', text: string): void {
    const last = this.messages.at(-1);
    const isLater = last !== undefined && last.role !== 'system';
    const role = isLater && !this.#takesLaterSystem ? 'user' : by;
    if (last?.role === role) last.content = withText(last.content, text, '\n');
    else this.messages.push({ role, content: text });
  }

  /** An image that the user shows. */
  show({ source }: Image, at: string): void {
    const url =
      source.type === 'url' ? source.url : `data:${source.media_type};base64,${source.data}`;
    const part: Part = { type: 'image_url', image_url: url, at };
    const last = this.messages.at(-1);
    if (last?.role === 'user') last.content = [...partsOf(last.content), part];
    else this.messages.push({ role: 'user', content: [part] });
  }

  /** Text that the model has said. */
  say(text: string): void {
    const own = this.#own();
    own.content = withText(own.content, text, '');
  }

  /** @param at for errors */
  add(role: Turns[number]['role'], block: Block, at: string): void {
    if (isUnread(block)) throw unread(block.type, at);
    switch (block.type) {
      case 'text':
        if (role === 'assistant') this.say(block.text);
        else this.tell(role, block.text);
        break;
      case 'image':
        if (role !== 'user') throw unread(block.type, at);
        this.show(block, at);
        break;
      case 'tool_result':
        this.#result(block, at);
        break;
      case 'tool_use':
        this.#called.add(block.id);
        this.#call({
          id: block.id,
          type: 'function',
          function: { name: block.name, arguments: JSON.stringify(block.input) },
        });
        break;
      case 'thinking': {
        const own = this.#own();
        own.reasoning_content = (own.reasoning_content ?? '') + block.thinking;
        break;
      }
      case 'redacted_thinking':
        break;
    }
  }

  #call(call: CallOfMessage): void {
    const own = this.#own();
    own.tool_calls = [...(own.tool_calls ?? []), call];
  }

  #result({ tool_use_id: id, content, is_error: failed }: ToolResultBlock, at: string): void {
    if (!this.#called.has(id)) {
      const message = `${at}: there is no tool_use before it with the id '${clip(id)}'`;
      throw new OctavoError('invalid_request', message, { param: `${at}.tool_use_id` });
    }
    const text = typeof content === 'string' ? content : textOf(content ?? [], at);
    // Templates have no other word for it.
    const shown = failed === true && !/^\W*error/i.test(text) ? `Error: ${text}` : text;
    this.messages.push({ role: 'tool', content: shown, tool_call_id: id });
  }

  /** The model's own message, of the turn that is its turn now. */
  #own(): Growing {
    const last = this.messages.at(-1);
    if (last?.role === 'assistant') return last;
    const own: Growing = { role: 'assistant', content: '' };
    this.messages.push(own);
    return own;
  }
}

function partsOf(content: Growing['content']): readonly Part[] {
  if (typeof content !== 'string') return content;
  return content === '' ? [] : [{ type: 'text', text: content }];
}

function withText(content: Growing['content'], text: string, between: string): Growing['content'] {
  if (typeof content === 'string') return content + between + text;
  const last = content.at(-1);
  if (last?.type !== 'text') return [...content, { type: 'text', text }];
  return [...content.slice(0, -1), { type: 'text', text: last.text + between + text }];
}

function textOf(
  blocks: Exclude<ToolResultBlock['content'], string | null | undefined>,
  at: string,
) {
  return blocks
    .map((block, index) => {
      if ('text' in block) return block.text;
      throw unread(block.type, `${at}.content[${index}]`);
    })
    .join('\n');
}

function unread(type: string, at: string): OctavoError {
  const message = `${at}: blocks of type ${type} are not supported: the model reads text only`;
  return new OctavoError('invalid_request', message, { param: at });
}
