import { type Static, Type } from 'typebox';
import { OctavoError } from '../../engine/errors.js';
import type { MessageOptions } from '../../engine/generation/chat-messages.js';
import type { Message } from '../../engine/generation/message.js';
import type { Asker } from '../../engine/job-pool/job-pool.js';
import { assertFewEnough } from '../../engine/text/assert-may-fit.js';
import { assertFewValues } from '../../engine/tools/tool-plan.js';
import type { TokenId } from '../../scheduler/ids.js';
import type { ModelService } from '../models.js';
import { encodeFitting } from '../openai/chat/chat-prompt.js';
import { MessagesSchema } from '../openai/fields/message-schema.js';
import { encodePrompts } from '../openai/fields/prompt-input.js';
import { COMMON_FIELDS, Nullable } from '../openai/fields/request-fields.js';
import { TEMPLATE_FIELDS, templateVariables } from '../openai/fields/template-fields.js';
import { TOOL_FIELDS } from '../openai/fields/tool-fields.js';

/** It is a part of an address. */
export const PrefixName = Type.String({ pattern: '^[A-Za-z0-9._:-]{1,64}$' });

const FIELDS = {
  name: PrefixName,
  model: COMMON_FIELDS.model,
  /** A text or token ids, as of a completion. */
  prompt: Nullable(
    Type.Union([
      Type.String({ minLength: 1 }),
      Type.Array(Type.Integer({ minimum: 0 }), { minItems: 1 }),
    ]),
  ),
  /** What chats begin with. */
  messages: Nullable(MessagesSchema),
  tools: TOOL_FIELDS.tools,
  ...TEMPLATE_FIELDS,
  add_special_tokens: Nullable(Type.Boolean()),
  cache_salt: COMMON_FIELDS.cache_salt,
};

/** A prefix to be pinned, as requests and files have it. */
export const PrefixSchema = Type.Object(FIELDS, {
  anyOf: [
    { required: ['prompt'], properties: { prompt: { type: ['string', 'array'] } } },
    { required: ['messages'], properties: { messages: { type: 'array' } } },
  ],
  not: {
    required: ['prompt', 'messages'],
    properties: { prompt: { type: ['string', 'array'] }, messages: { type: 'array' } },
  },
});

export type PrefixBody = Static<typeof PrefixSchema>;

/** Messages of two users that have nothing in common, white space included. */
const USERS = ['a', '\n7'].map((content) => ({ role: 'user', content }));

/**
 * The tokens with which all prompts of a prefix begin. Of messages, those that the prompt has
 * whatever the user says next; where the last message is to be answered, the whole prompt of the
 * answer.
 *
 * @throws OctavoError `invalid_request`, `context_length_exceeded`, as requests with these fields
 */
export async function prefixTokens(
  body: PrefixBody,
  service: Pick<ModelService, 'model' | 'engine' | 'prompts'>,
  asker: Asker,
): Promise<TokenId[]> {
  const { prompt, messages, add_special_tokens: given } = body;
  if (prompt) {
    const encoding = { param: 'prompt', addSpecialTokens: given !== false };
    const [tokens] = await encodePrompts(prompt, service, encoding, asker);
    return tokens;
  }
  if (!messages) {
    const message = 'missing required field prompt or messages';
    throw new OctavoError('invalid_request', message, { param: 'prompt' });
  }
  assertFewEnough(messages.length, service.engine.info.maxModelLength, 'messages');
  if (body.tools) assertFewValues(body.tools);
  const options: MessageOptions = {
    tools: body.tools ?? null,
    addGenerationPrompt: true,
    continuesFinal: false,
    variables: templateVariables(body, service.model.chatTemplate),
  };
  const tokensOf = async (all: readonly Message[]): Promise<TokenId[]> => {
    const rendered = await service.prompts.render(all, options, asker);
    if (rendered.images) {
      const message = 'messages: a prefix that stays cached cannot have images';
      throw new OctavoError('invalid_request', message, { param: 'messages' });
    }
    const encoding = { param: 'messages', addSpecialTokens: given === true };
    return encodeFitting(rendered, service, encoding, asker);
  };
  if (['user', 'tool', 'function'].includes(messages.at(-1)?.role as string)) {
    return tokensOf(messages);
  }
  const [one, other] = await Promise.all(USERS.map((user) => tokensOf([...messages, user])));
  const end = one.findIndex((token, i) => token !== other[i]);
  return end < 0 ? one : one.slice(0, end);
}
