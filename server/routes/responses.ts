import { OctavoError } from '../../engine/errors.js';
import type { TokenId } from '../../scheduler/ids.js';
import type { AppContext } from '../app-context.js';
import type { MessagePlan } from '../generation/message-form.js';
import { checkCommonFields, outputBudget, planRequests } from '../generation/plan.js';
import { newRecord } from '../generation/run.js';
import { answerResponse } from '../responses/answer-response.js';
import { encodeToFit, toMessages } from '../responses/conversation.js';
import { newItemId } from '../responses/ids.js';
import { type Item, toItems } from '../responses/items.js';
import type { ResponseHead } from '../responses/response-object.js';
import { ResponseStore } from '../responses/response-store.js';
import { shownTools, toChatTools, withOwnNames } from '../responses/tools.js';
import { clip } from '../text/clip.js';
import { newCallId } from '../tools/call-ids.js';
import { planTools, type ToolPlan } from '../tools/tool-plan.js';
import { encodePrompt, renderMessages } from './chat-messages.js';
import { LogprobWriter } from './logprobs.js';
import {
  checkResponseFields,
  type ResponseBody,
  ResponseSchema,
  topLogprobs,
} from './response-fields.js';
import { addStoredResponseRoutes } from './stored-responses.js';
import { templateVariables } from './template-variables.js';
import type { TypedApp } from './typed-app.js';

export function addResponseRoutes(app: TypedApp, context: AppContext): void {
  const { settings } = context;
  const store = new ResponseStore({
    maxResponses: settings.maxStoredResponses,
    maxBytes: settings.storedResponsesMemory,
  });
  addStoredResponseRoutes(app, store);

  app.post(
    '/v1/responses',
    {
      schema: { body: ResponseSchema },
      onRequest: async () => context.inFlight.assertAdmitting(),
    },
    async (request, reply) => {
      const { body } = request;
      const { input, prompt, tools } = prepare(body, context, store);
      const { tokenIds, message, grammar } = prompt;
      const top = topLogprobs(body);
      if (top !== null && message !== null) {
        const text = 'include: log-probabilities are of texts only, without tools or reasoning';
        throw new OctavoError('invalid_request', text, { param: 'include' });
      }
      const writer = new LogprobWriter(context.model.tokenizer, { asIds: false });
      const maxTokens = outputBudget({
        promptTokens: tokenIds.length,
        asked: body.max_output_tokens ?? null,
        standard: context.model.defaultMaxTokens ?? context.engine.info.maxModelLength,
        context: context.engine.info.maxModelLength,
        param: 'input',
      });
      const id = newItemId('resp');
      const { stream_options: _options, ...common } = body;
      const [planned] = planRequests(id, [{ tokenIds, maxTokens }], common, context, {
        message,
        grammar,
        logprobs: top,
      });
      const head = headOf(id, body, context);
      return answerResponse(context, request, reply, {
        request: planned,
        newCallId: () => tools?.format.newCallId() ?? newCallId(),
        writeLogprobs: top === null ? null : (tokens) => writer.list(tokens, top),
        head,
        stream: body.stream === true,
        record: newRecord(id, head.model),
        keep: (response) => {
          if (head.store) store.put({ response, input });
        },
      });
    },
  );

  app.post('/v1/responses/input_tokens', { schema: { body: ResponseSchema } }, async ({ body }) => {
    const { prompt } = prepare(body, context, store);
    return { object: 'response.input_tokens', input_tokens: prompt.tokenIds.length };
  });
}

interface Prompt extends MessagePlan {
  readonly tokenIds: readonly TokenId[];
}

/** What a request is about, once it is checked. */
interface Prepared {
  /** The conversation up to now. */
  readonly input: Item[];
  /** It, as the model reads it. */
  readonly prompt: Prompt;
  readonly tools: ToolPlan | null;
}

/** @throws OctavoError what is wrong with the request */
function prepare(body: ResponseBody, context: AppContext, store: ResponseStore): Prepared {
  const { stream_options: options, ...common } = body;
  checkCommonFields(options ? { ...common, stream_options: {} } : common, context, ResponseSchema);
  checkResponseFields(body);
  return withOwnNames(() => plan(body, context, store));
}

function plan(body: ResponseBody, context: AppContext, store: ResponseStore): Prepared {
  const { model, messageForms, engine } = context;
  const tools = planTools(toChatTools(body), model.chatTemplate, messageForms.tools);
  const variables = templateVariables(
    {
      reasoning_effort: body.reasoning?.effort ?? null,
      chat_template_kwargs: body.chat_template_kwargs ?? null,
    },
    model.chatTemplate,
  );
  const input = [
    ...previousItems(body.previous_response_id ?? null, store),
    ...toItems(body.input, (id) => store.item(id)),
  ];
  const encode = (items: readonly Item[]): Prompt => {
    const rendered = renderMessages(toMessages(body.instructions ?? null, items), model, {
      tools: tools?.shown ?? null,
      variables,
    });
    const read = messageForms.plan(rendered, tools);
    return { ...read, tokenIds: encodePrompt(read.prompt, model) };
  };
  if (body.truncation !== 'auto') return { input, prompt: encode(input), tools };
  const room = engine.info.maxModelLength - (body.max_output_tokens ?? 1);
  return { input, prompt: encodeToFit(input, room, encode), tools };
}

/** @throws OctavoError `previous_response_not_found` */
function previousItems(id: string | null, store: ResponseStore): readonly Item[] {
  if (id === null) return [];
  const previous = store.get(id);
  if (previous) return [...previous.input, ...previous.response.output];
  throw new OctavoError(
    'previous_response_not_found',
    `previous response with id '${clip(id)}' not found`,
    { param: 'previous_response_id' },
  );
}

function headOf(id: string, body: ResponseBody, context: AppContext): ResponseHead {
  const { model, clock } = context;
  return {
    id,
    created_at: clock.unixSeconds(),
    model: body.model ?? model.names[0],
    instructions: body.instructions ?? null,
    max_output_tokens: body.max_output_tokens ?? null,
    max_tool_calls: body.max_tool_calls ?? null,
    metadata: body.metadata ?? {},
    parallel_tool_calls: body.parallel_tool_calls ?? true,
    previous_response_id: body.previous_response_id ?? null,
    prompt_cache_key: body.prompt_cache_key ?? null,
    reasoning: { effort: body.reasoning?.effort ?? null, summary: null },
    safety_identifier: body.safety_identifier ?? null,
    store: body.store ?? true,
    temperature: body.temperature ?? model.defaultSampling.temperature,
    text: { format: { type: 'text' }, verbosity: 'medium' },
    tool_choice: body.tool_choice ?? 'auto',
    tools: shownTools(body),
    top_logprobs: body.top_logprobs ?? 0,
    top_p: body.top_p ?? model.defaultSampling.topP,
    truncation: body.truncation ?? 'disabled',
    user: body.user ?? null,
  };
}
