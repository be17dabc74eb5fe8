import { systemClock } from '../clock.js';
import { OctavoError } from '../errors.js';
import { ChatTemplate, type TemplateSource } from './chat-template.js';
import { CLIENT_BOUNDS } from './template-bounds.js';

/** UTF-16 units of a template; those of models have up to some 30,000. */
export const MAX_TEMPLATE = 131_072;

/** Templates that are kept parsed. */
const MAX_KEPT = 16;

/**
 * Chat templates that requests bring, parsed. They are programs of clients: they run in a prompt
 * thread only, which is ended when one takes too long.
 */
export class RequestTemplates {
  readonly #tokens: TemplateSource['tokens'];
  /** By source, least recently used first. */
  readonly #kept = new Map<string, ChatTemplate>();

  /** @param tokens of the model */
  constructor(tokens: TemplateSource['tokens']) {
    this.#tokens = tokens;
  }

  /** For tests. */
  get size(): number {
    return this.#kept.size;
  }

  /** @throws OctavoError `invalid_request` for one that does not parse: says in which line */
  get(source: string): ChatTemplate {
    const template = this.#kept.get(source) ?? this.#parse(source);
    this.#kept.delete(source);
    this.#kept.set(source, template);
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > MAX_KEPT && oldest !== undefined) this.#kept.delete(oldest);
    return template;
  }

  #parse(source: string): ChatTemplate {
    try {
      return new ChatTemplate(
        source,
        'the request',
        this.#tokens,
        null,
        systemClock,
        CLIENT_BOUNDS,
      );
    } catch (error) {
      if (!(error instanceof OctavoError)) throw error;
      const problem = error.message.replace(/^.*does not parse: /s, '');
      throw new OctavoError('invalid_request', `chat_template does not parse: ${problem}`, {
        param: 'chat_template',
        cause: error,
      });
    }
  }
}
