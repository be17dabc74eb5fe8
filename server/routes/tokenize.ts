import { type Static, Type } from 'typebox';
import { OctavoError } from '../../engine/errors.js';
import type { TokenId } from '../../scheduler/ids.js';
import type { AppContext } from '../app-context.js';
import { checkModel } from '../generation/plan.js';
import type { ServedModel } from '../text/served-model.js';
import { encodePrompt, MessagesSchema, renderMessages } from './chat-messages.js';
import { checkTokenIds } from './prompt-input.js';
import { COMMON_FIELDS, Nullable } from './request-fields.js';
import { TEMPLATE_FIELDS, templateVariables } from './template-variables.js';
import { TOOL_FIELDS } from './tool-fields.js';
import type { TypedApp } from './typed-app.js';
import { refuseUnsupported } from './unsupported-fields.js';

export const TokenizeSchema = Type.Object({
  model: COMMON_FIELDS.model,
  prompt: Nullable(Type.String()),
  messages: Nullable(MessagesSchema),
  /** By default for a prompt, but not for messages: chat templates write the special tokens themselves. */
  add_special_tokens: Nullable(Type.Boolean()),
  return_token_strs: Nullable(Type.Boolean()),
  /** With messages, like the following; see chat completions. */
  tools: TOOL_FIELDS.tools,
  add_generation_prompt: Nullable(Type.Boolean()),
  chat_template_kwargs: TEMPLATE_FIELDS.chat_template_kwargs,
});

export const DetokenizeSchema = Type.Object({
  model: COMMON_FIELDS.model,
  tokens: Type.Array(Type.Integer({ minimum: 0 })),
});

export function addTokenizeRoutes(app: TypedApp, context: AppContext): void {
  const { model, engine } = context;

  app.post('/tokenize', { schema: { body: TokenizeSchema } }, async ({ body }) => {
    checkModel(body.model, context);
    refuseUnsupported(body, TokenizeSchema);
    const tokens = encodeEither(body, model);
    return {
      count: tokens.length,
      max_model_len: engine.info.maxModelLength,
      tokens,
      token_strs:
        body.return_token_strs === true ? tokens.map((id) => model.tokenizer.entryOf(id)) : null,
    };
  });

  app.post('/detokenize', { schema: { body: DetokenizeSchema } }, async ({ body }) => {
    checkModel(body.model, context);
    const ids = checkTokenIds(body.tokens, context, 'tokens');
    const prompt = model.tokenizer.decode(ids, { skipSpecialTokens: false });
    return { prompt };
  });
}

/** @throws OctavoError `invalid_request` unless there is either a prompt or messages */
function encodeEither(body: Static<typeof TokenizeSchema>, model: ServedModel): TokenId[] {
  const { prompt, messages } = body;
  if (typeof prompt === 'string' && messages) {
    throw new OctavoError('invalid_request', 'give either prompt or messages, not both', {
      param: 'prompt',
    });
  }
  if (typeof prompt === 'string') {
    return model.tokenizer.encode(prompt, { addSpecialTokens: body.add_special_tokens !== false });
  }
  if (!messages) {
    throw new OctavoError('invalid_request', 'missing required field prompt or messages', {
      param: 'prompt',
    });
  }
  const text = renderMessages(messages, model, {
    tools: body.tools ?? null,
    addGenerationPrompt: body.add_generation_prompt !== false,
    variables: templateVariables(body, model.chatTemplate),
  });
  if (body.add_special_tokens !== true) return encodePrompt(text, model);
  return model.tokenizer.encode(text, { addSpecialTokens: true });
}
