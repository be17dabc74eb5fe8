import type { FastifyRequest } from 'fastify';
import { type Static, Type } from 'typebox';
import { OctavoError } from '../../engine/errors.js';
import type { Asker } from '../../engine/job-pool/job-pool.js';
import { assertFewEnough, assertMayFit } from '../../engine/text/assert-may-fit.js';
import { NO_SPANS } from '../../engine/text/spans.js';
import type { Tokenizer } from '../../engine/text/tokenizer.js';
import { assertFewValues } from '../../engine/tools/tool-plan.js';
import type { TokenId } from '../../scheduler/ids.js';
import { whileConnected } from '../http/in-flight.js';
import { Turns } from '../http/turns.js';
import type { ModelService } from '../models.js';
import { encodeFitting } from '../openai/chat/chat-prompt.js';
import { MessagesSchema } from '../openai/fields/message-schema.js';
import { checkTokenIds } from '../openai/fields/prompt-input.js';
import { COMMON_FIELDS, Nullable } from '../openai/fields/request-fields.js';
import {
  ENDING_OF_PROMPT,
  endingOf,
  OWN_TEMPLATE,
  TEMPLATE_FIELDS,
  templateOf,
  templateVariables,
} from '../openai/fields/template-fields.js';
import { TOOL_FIELDS } from '../openai/fields/tool-fields.js';
import { refuseUnsupported } from '../openai/fields/unsupported-fields.js';
import type { Models } from '../pool/models.js';
import type { TypedApp } from './typed-app.js';

const FIELDS = {
  model: COMMON_FIELDS.model,
  prompt: Nullable(Type.String()),
  messages: Nullable(MessagesSchema),
  /**
   * By default for a prompt, but not for messages: chat templates write the special tokens
   * themselves.
   */
  add_special_tokens: Nullable(Type.Boolean()),
  return_token_strs: Nullable(Type.Boolean()),
  /** With messages, like the following; see chat completions. */
  tools: TOOL_FIELDS.tools,
  ...ENDING_OF_PROMPT,
  chat_template_kwargs: TEMPLATE_FIELDS.chat_template_kwargs,
  ...OWN_TEMPLATE,
};

export const TokenizeSchema = Type.Object(FIELDS, {
  // One of them; null counts as absent.
  anyOf: [
    { required: ['prompt'], properties: { prompt: { type: 'string' } } },
    { required: ['messages'], properties: { messages: { type: 'array' } } },
  ],
  not: {
    required: ['prompt', 'messages'],
    properties: { prompt: { type: 'string' }, messages: { type: 'array' } },
  },
});

export const DetokenizeSchema = Type.Object({
  model: COMMON_FIELDS.model,
  tokens: Type.Array(Type.Integer({ minimum: 0 })),
});

/** @param clientOf who asks */
export function addTokenizeRoutes(
  app: TypedApp,
  models: Models,
  clientOf: (request: FastifyRequest) => string,
): void {
  app.post('/tokenize', { schema: { body: TokenizeSchema } }, async (request, reply) => {
    const { body } = request;
    const service = await models.use(body.model, reply);
    const { model, engine } = service;
    refuseUnsupported(body, TokenizeSchema);
    const tokens = await whileConnected(reply, (signal) =>
      encodeEither(body, service, { client: clientOf(request), signal }),
    );
    return {
      count: tokens.length,
      max_model_len: engine.info.maxModelLength,
      tokens,
      token_strs:
        body.return_token_strs === true ? tokens.map((id) => model.tokenizer.entryOf(id)) : null,
    };
  });

  app.post('/detokenize', { schema: { body: DetokenizeSchema } }, async ({ body }, reply) => {
    const { model, engine } = await models.use(body.model, reply);
    const ids = checkTokenIds(body.tokens, engine.info.vocabSize, 'tokens');
    return { prompt: await decodeInTurns(ids, model.tokenizer) };
  });
}

/** Tokens that are decoded before others get their turn: a few milliseconds. */
const TOKENS_PER_TURN = 16_384;

/** A list may be much longer than a context. */
async function decodeInTurns(ids: readonly TokenId[], tokenizer: Tokenizer): Promise<string> {
  if (ids.length <= TOKENS_PER_TURN) return tokenizer.decode(ids, { skipSpecialTokens: false });
  const turns = new Turns(TOKENS_PER_TURN);
  const detokenizer = tokenizer.createDetokenizer({ skipSpecialTokens: false });
  let text = '';
  for (let from = 0; from < ids.length; from += TOKENS_PER_TURN) {
    const slice = ids.slice(from, from + TOKENS_PER_TURN);
    await turns.next(slice.length);
    for (const id of slice) text += detokenizer.push(id);
  }
  return text + detokenizer.flush();
}

/**
 * As with the endpoints that generate, a text or a conversation must be one that might fit the
 * context.
 *
 * @throws OctavoError `invalid_request` unless there is either a prompt or messages,
 *   `context_length_exceeded`
 */
async function encodeEither(
  body: Static<typeof TokenizeSchema>,
  service: Pick<ModelService, 'model' | 'engine' | 'prompts' | 'settings'>,
  asker: Asker,
): Promise<TokenId[]> {
  const { model, engine, prompts } = service;
  const { maxModelLength: context } = engine.info;
  const { prompt, messages } = body;
  if (typeof prompt === 'string' && messages) {
    throw new OctavoError('invalid_request', 'give either prompt or messages, not both', {
      param: 'prompt',
    });
  }
  if (typeof prompt === 'string') {
    assertMayFit(prompt, model.tokenizer, context, 'prompt');
    const encoding = { param: 'prompt', addSpecialTokens: body.add_special_tokens !== false };
    return prompts.encode({ text: prompt, client: NO_SPANS }, encoding, asker);
  }
  if (!messages) {
    throw new OctavoError('invalid_request', 'missing required field prompt or messages', {
      param: 'prompt',
    });
  }
  assertFewEnough(messages.length, context, 'messages');
  if (body.tools) assertFewValues(body.tools);
  const template = templateOf(body, model.chatTemplate, service.settings);
  const options = {
    tools: body.tools ?? null,
    ...endingOf(body),
    template: template.own,
    variables: templateVariables(body, template.facts),
  };
  const rendered = await prompts.render(messages, options, asker);
  const encoding = { param: 'messages', addSpecialTokens: body.add_special_tokens === true };
  return encodeFitting(rendered, service, encoding, asker);
}
