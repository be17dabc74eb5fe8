import { clip } from '../../../engine/clip.js';
import { OctavoError } from '../../../engine/errors.js';
import type { MessagePlan } from '../../../engine/generation/message-form.js';
import type { Asker } from '../../../engine/job-pool/job-pool.js';
import { assertFewEnough, mayFit } from '../../../engine/text/assert-may-fit.js';
import { planTools, type ToolPlan } from '../../../engine/tools/tool-plan.js';
import type { TokenId } from '../../../scheduler/ids.js';
import type { ModelService } from '../../models.js';
import { encodeFitting, planChat } from '../chat/chat-prompt.js';
import { grammarOf, isCompact } from '../fields/structured-output.js';
import { templateOf, templateVariables } from '../fields/template-fields.js';
import { checkCommonFields } from '../plan.js';
import { encodeToFit, toMessages, turnStarts } from './conversation.js';
import { toItems } from './input-items.js';
import type { Item } from './items.js';
import {
  checkResponseFields,
  type ResponseBody,
  ResponseSchema,
  toChatFormat,
} from './response-fields.js';
import type { OwnResponses } from './response-store.js';
import { larksOf, ownName, toChatTools, withOwnNames } from './tools.js';

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
export async function prepareResponse(
  body: ResponseBody,
  service: ModelService,
  responses: OwnResponses,
  asker: Asker,
): Promise<Prepared> {
  const { stream_options: options, ...common } = body;
  checkCommonFields(
    options ? { ...common, stream_options: {} } : common,
    service.engine.info.vocabSize,
    ResponseSchema,
  );
  checkResponseFields(body);
  return withOwnNames(() => prepare(body, service, responses, asker));
}

async function prepare(
  body: ResponseBody,
  service: ModelService,
  responses: OwnResponses,
  asker: Asker,
): Promise<Prepared> {
  const { model, forms, engine, prompts, settings } = service;
  const template = templateOf(body, model.chatTemplate, settings);
  const tools = planTools(
    toChatTools(body, forms),
    template.facts,
    forms.tools,
    isCompact(body, settings),
    larksOf(body, forms),
  );
  const variables = templateVariables(
    {
      reasoning_effort: body.reasoning?.effort ?? null,
      chat_template_kwargs: body.chat_template_kwargs ?? null,
    },
    template.facts,
  );
  const asked = grammarOf(
    { ...body, response_format: toChatFormat(body.text?.format ?? null) },
    settings,
  );
  // Checked later, when names of chats are no longer replaced.
  const answer = asked && { ...asked, field: ownName(asked.field) };
  const input = [
    ...previousItems(body.previous_response_id ?? null, responses),
    ...toItems(body.input, (id) => responses.item(id)),
  ];
  const { maxModelLength } = engine.info;
  const options = { tools, variables, answer, template: template.own };
  const encoding = { param: 'input', addSpecialTokens: false };
  const plan = (items: readonly Item[]): Promise<MessagePlan> =>
    planChat(toMessages(body.instructions ?? null, items), service, options, asker);
  const encodeWhole = async (items: readonly Item[]): Promise<Prompt> => {
    assertFewEnough(writtenItems(items), maxModelLength, 'input');
    const planned = await plan(items);
    return { ...planned, tokenIds: await encodeFitting(planned.prompt, service, encoding, asker) };
  };
  if (body.truncation !== 'auto') return { input, prompt: await encodeWhole(input), tools };
  const room = maxModelLength - (body.max_output_tokens ?? 1);
  const cut = await encodeToFit(input, room, async (items) => {
    if (writtenItems(items) > maxModelLength) return null;
    const planned = await plan(items);
    if (!mayFit(planned.prompt.text, model.tokenizer, maxModelLength)) return null;
    return { ...planned, tokenIds: await prompts.encode(planned.prompt, encoding, asker) };
  });
  const prompt = cut ?? (await encodeWhole(input.slice(turnStarts(input).at(-1) ?? 0)));
  return { input, prompt, tools };
}

/** Templates may leave out what was thought in earlier turns. */
const writtenItems = (items: readonly Item[]): number =>
  items.filter(({ type }) => type !== 'reasoning').length;

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
