import { Type } from 'typebox';
import { OctavoError } from '../../engine/errors.js';
import type { TokenId } from '../../scheduler/ids.js';
import type { AppContext } from '../app-context.js';
import { encodePrompt, MessagesSchema, renderMessages } from './chat-messages.js';
import { checkTokenIds } from './prompt-input.js';
import { Nullable } from './request-fields.js';
import { TEMPLATE_FIELDS, templateVariables } from './template-variables.js';
import { TOOL_FIELDS } from './tool-fields.js';
import type { TypedApp } from './typed-app.js';

const TokenizeSchema = Type.Object({
  prompt: Nullable(Type.String()),
  messages: Nullable(MessagesSchema),
  add_special_tokens: Nullable(Type.Boolean()),
  /** With messages; see chat completions. */
  tools: TOOL_FIELDS.tools,
  chat_template_kwargs: TEMPLATE_FIELDS.chat_template_kwargs,
});

const DetokenizeSchema = Type.Object({ tokens: Type.Array(Type.Integer({ minimum: 0 })) });

export function addTokenizeRoutes(app: TypedApp, context: AppContext): void {
  const { model, engine } = context;

  app.post('/tokenize', { schema: { body: TokenizeSchema } }, async ({ body }) => {
    const { prompt, messages } = body;
    if (typeof prompt === 'string' && messages) {
      throw new OctavoError('invalid_request', 'give either prompt or messages, not both', {
        param: 'prompt',
      });
    }
    let tokens: TokenId[];
    if (typeof prompt === 'string') {
      tokens = model.tokenizer.encode(prompt, {
        addSpecialTokens: body.add_special_tokens !== false,
      });
    } else if (messages) {
      const text = renderMessages(messages, model, {
        tools: body.tools ?? null,
        variables: templateVariables(body, model.chatTemplate),
      });
      tokens = encodePrompt(text, model);
    } else {
      throw new OctavoError('invalid_request', 'missing required field prompt or messages', {
        param: 'prompt',
      });
    }
    return { count: tokens.length, max_model_len: engine.info.maxModelLength, tokens };
  });

  app.post('/detokenize', { schema: { body: DetokenizeSchema } }, async ({ body }) => {
    const ids = checkTokenIds(body.tokens, context, 'tokens');
    const prompt = model.tokenizer.decode(ids, { skipSpecialTokens: false });
    return { prompt };
  });
}
