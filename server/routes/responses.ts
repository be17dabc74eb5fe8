import type { FastifyRequest } from 'fastify';
import { OctavoError } from '../../engine/errors.js';
import { outputBudget } from '../../engine/generation/output-budget.js';
import type { ChatTemplate } from '../../engine/text/chat-template.js';
import { newCallId } from '../../engine/tools/call-ids.js';
import { placeImages } from '../../engine/vision/place-images.js';
import type { Settings } from '../config/settings.js';
import type { RequestHost } from '../generation/run-in-flight.js';
import { whileConnected } from '../http/in-flight.js';
import { refuseEarly } from '../limits/refuse-early.js';
import type { ModelService } from '../models.js';
import { beamsOf } from '../openai/fields/beam-fields.js';
import { shownLogprobs } from '../openai/fields/logprob-token-ids.js';
import { knowsEffort } from '../openai/fields/template-fields.js';
import { LogprobWriter } from '../openai/logprobs.js';
import { planRequests } from '../openai/plan.js';
import { answerResponse } from '../openai/responses/answer-response.js';
import { BackgroundResponses, TICKET_HEADER } from '../openai/responses/background-responses.js';
import { newItemId } from '../openai/responses/ids.js';
import { prepareResponse } from '../openai/responses/prepare-response.js';
import {
  LOGPROBS_ON,
  type ResponseBody,
  ResponseSchema,
  topLogprobs,
} from '../openai/responses/response-fields.js';
import type { ResponseHead } from '../openai/responses/response-object.js';
import { type OwnResponses, ResponseStore } from '../openai/responses/response-store.js';
import { customTools, shownTools } from '../openai/responses/tools.js';
import type { Models } from '../pool/models.js';
import { newRecord } from '../request-record.js';
import { startBackground } from './background-responses.js';
import { addStoredResponseRoutes } from './stored-responses.js';
import type { TypedApp } from './typed-app.js';

/** How long answers are kept, and for whom. */
type ResponseSettings = Pick<Settings, 'maxStoredResponses' | 'storedResponsesMemory'>;

export function addResponseRoutes(
  app: TypedApp,
  models: Models,
  host: RequestHost,
  settings: ResponseSettings,
): void {
  const store = new ResponseStore({
    maxResponses: settings.maxStoredResponses,
    maxBytes: settings.storedResponsesMemory,
  });
  /**
   * With keys, a response is private to the key that created it. Without keys, clients cannot be
   * distinguished.
   */
  const ownerOf = ({ key }: Pick<FastifyRequest, 'key'>): string =>
    key?.digest.toString('hex') ?? '';
  const responsesOf = (request: FastifyRequest): OwnResponses => store.of(ownerOf(request));
  const background = new BackgroundResponses(store);
  addStoredResponseRoutes(app, background, ownerOf, host.clock);

  app.post(
    '/v1/responses',
    {
      schema: { body: ResponseSchema },
      onRequest: refuseEarly({ inFlight: host.inFlight, admission: models }),
    },
    async (request, reply) => {
      const { body } = request;
      const { [TICKET_HEADER]: given } = request.headers;
      const ticket = background.knows(given) ? given : null;
      if (body.background === true && ticket === null) {
        const keeps = settings.maxStoredResponses > 0;
        const asked = { body, owner: ownerOf(request), keeps };
        return startBackground(app, host.clock, background, request, reply, asked);
      }
      const service = await models.useGenerator(body.model, reply);
      const { model: served, engine } = service;
      const responses = responsesOf(request);
      const client = host.clientOf(request);
      const { input, prompt, tools } = await whileConnected(reply, (signal) =>
        prepareResponse(body, service, responses, { client, signal }),
      );
      const { tokenIds, message, grammar, checks } = prompt;
      const { vocabSize } = engine.info;
      const { shown: top, asked } = shownLogprobs(body, topLogprobs(body), vocabSize, LOGPROBS_ON);
      if (top !== null && message !== null) {
        const text = 'include: log-probabilities are of texts only, without tools or reasoning';
        throw new OctavoError('invalid_request', text, { param: 'include' });
      }
      const writer = new LogprobWriter(served.tokenizer, { asIds: false });
      const maxTokens = outputBudget({
        promptTokens: tokenIds.length,
        asked: body.max_output_tokens ?? null,
        standard: served.defaultMaxTokens ?? engine.info.maxModelLength,
        context: engine.info.maxModelLength,
        param: 'input',
      });
      const id = newItemId('resp');
      const { stream_options: _options, ...common } = body;
      const [planned] = planRequests(
        id,
        [{ tokenIds, maxTokens, images: placeImages(tokenIds, prompt.prompt) }],
        common,
        service,
        host.randomSeed,
        {
          message,
          grammar,
          ...host.shareOf(request, body),
          route: 'responses',
          ...asked,
          ...beamsOf(body, 1, grammar),
        },
      );
      const head = headOf(id, body, service, host.clock.unixSeconds());
      if (ticket !== null) {
        background.present(ticket, { input, end: () => void reply.raw.destroy() });
      }
      return answerResponse(host, service, request, reply, {
        request: planned,
        checks,
        customTools: customTools(body, service.forms),
        newCallId: () => tools?.format.newCallId() ?? newCallId(),
        writeLogprobs: top === null ? null : (tokens) => writer.list(tokens, top),
        head,
        stream: body.stream === true,
        record: newRecord(id, head.model),
        keep: (response) => {
          if (head.store && ticket === null) responses.put({ response, input });
        },
      });
    },
  );

  app.post(
    '/v1/responses/input_tokens',
    { schema: { body: ResponseSchema } },
    async (request, reply) => {
      const { body } = request;
      const service = await models.useGenerator(body.model, reply);
      const client = host.clientOf(request);
      const count = await whileConnected(reply, async (signal) => {
        const asker = { client, signal };
        const { prompt } = await prepareResponse(body, service, responsesOf(request), asker);
        await service.grammars.check(prompt.checks, client, signal);
        return prompt.tokenIds.length;
      });
      return { object: 'response.input_tokens', input_tokens: count };
    },
  );
}

/** What is in force: an effort of which the model is not told is none. */
function effortOf(body: ResponseBody, template: ChatTemplate | null): string | null {
  const effort = body.reasoning?.effort ?? null;
  const source = body.chat_template ? { source: body.chat_template } : template;
  return effort === 'none' || knowsEffort(source) ? effort : null;
}

function headOf(
  id: string,
  body: ResponseBody,
  { model, name, forms }: ModelService,
  createdAt: number,
): ResponseHead {
  return {
    id,
    background: body.background ?? false,
    created_at: createdAt,
    model: body.model ?? name,
    instructions: body.instructions ?? null,
    max_output_tokens: body.max_output_tokens ?? null,
    max_tool_calls: body.max_tool_calls ?? null,
    metadata: body.metadata ?? {},
    parallel_tool_calls: body.parallel_tool_calls ?? true,
    previous_response_id: body.previous_response_id ?? null,
    prompt_cache_key: body.prompt_cache_key ?? null,
    reasoning: { effort: effortOf(body, model.chatTemplate), summary: null },
    safety_identifier: body.safety_identifier ?? null,
    store: body.store ?? true,
    temperature: body.temperature ?? model.defaultSampling.temperature,
    text: { format: body.text?.format ?? { type: 'text' }, verbosity: 'medium' },
    tool_choice: body.tool_choice ?? 'auto',
    tools: shownTools(body, forms),
    top_logprobs: body.top_logprobs ?? 0,
    top_p: body.top_p ?? model.defaultSampling.topP,
    truncation: body.truncation ?? 'disabled',
    user: body.user ?? null,
  };
}
