import { OctavoError } from '../../engine/errors.js';
import type { TokenId } from '../../scheduler/ids.js';
import type { AppContext } from '../app-context.js';
import type { MessagePlan } from '../generation/message-form.js';
import { checkCommonFields } from '../generation/plan.js';
import { grammarOf } from '../generation/structured-output.js';
import { encodePrompt, renderMessages } from '../routes/chat-messages.js';
import {
  checkResponseFields,
  type ResponseBody,
  ResponseSchema,
  toChatFormat,
} from '../routes/response-fields.js';
import { templateVariables } from '../routes/template-variables.js';
import { assertMayFit } from '../text/assert-may-fit.js';
import { clip } from '../text/clip.js';
import { planTools, type ToolPlan } from '../tools/tool-plan.js';
import { encodeToFit, toMessages } from './conversation.js';
import { type Item, toItems } from './items.js';
import type { OwnResponses } from './response-store.js';
import { toChatTools, withOwnNames } from './tools.js';

interface Prompt extends MessagePlan {
  readonly tokenIds: readonly TokenId[];
}

/** What a request is about, once it is checked. */
export interface Prepared {
  /** The conversation up to now. */
  readonly input: Item[];
  /** It, as the model reads it. */
  readonly prompt: Prompt;
  readonly tools: ToolPlan | null;
}

/**
 * @param responses those that the request may refer to
 * @throws OctavoError what is wrong with the request
 */
export function prepareResponse(
  body: ResponseBody,
  context: AppContext,
  responses: OwnResponses,
): Prepared {
  const { stream_options: options, ...common } = body;
  checkCommonFields(options ? { ...common, stream_options: {} } : common, context, ResponseSchema);
  checkResponseFields(body);
  return withOwnNames(() => plan(body, context, responses));
}

function plan(body: ResponseBody, context: AppContext, responses: OwnResponses): Prepared {
  const { model, messageForms, engine } = context;
  const tools = planTools(toChatTools(body), model.chatTemplate, messageForms.tools);
  const variables = templateVariables(
    {
      reasoning_effort: body.reasoning?.effort ?? null,
      chat_template_kwargs: body.chat_template_kwargs ?? null,
    },
    model.chatTemplate,
  );
  const answer = grammarOf({
    ...body,
    response_format: toChatFormat(body.text?.format ?? null),
  });
  const input = [
    ...previousItems(body.previous_response_id ?? null, responses),
    ...toItems(body.input, (id) => responses.item(id)),
  ];
  const encode = (items: readonly Item[]): Prompt => {
    const rendered = renderMessages(toMessages(body.instructions ?? null, items), model, {
      tools: tools?.shown ?? null,
      variables,
    });
    const read = messageForms.plan(rendered, tools, answer);
    if (body.truncation !== 'auto') {
      assertMayFit(read.prompt, model.tokenizer, engine.info.maxModelLength, 'input');
    }
    return { ...read, tokenIds: encodePrompt(read.prompt, model) };
  };
  if (body.truncation !== 'auto') return { input, prompt: encode(input), tools };
  const room = engine.info.maxModelLength - (body.max_output_tokens ?? 1);
  return { input, prompt: encodeToFit(input, room, encode), tools };
}

/** @throws OctavoError `previous_response_not_found` */
function previousItems(id: string | null, responses: OwnResponses): readonly Item[] {
  if (id === null) return [];
  const previous = responses.get(id);
  if (previous) return [...previous.input, ...previous.response.output];
  throw new OctavoError(
    'previous_response_not_found',
    `previous response with id '${clip(id)}' not found`,
    { param: 'previous_response_id' },
  );
}
