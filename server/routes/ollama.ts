import type { FastifyReply, FastifyRequest } from 'fastify';
import { OctavoError } from '../../engine/errors.js';
import { outputBudget } from '../../engine/generation/output-budget.js';
import type { Asker } from '../../engine/job-pool/job-pool.js';
import { newCallId } from '../../engine/tools/call-ids.js';
import type { RequestHost } from '../generation/run-in-flight.js';
import { whileConnected } from '../http/in-flight.js';
import { refuseEarly } from '../limits/refuse-early.js';
import type { ModelService } from '../models.js';
import { answerOllama, emptyAnswer } from '../ollama/answer-ollama.js';
import {
  GenerateSchema,
  type GenerationBody,
  keepAliveOf,
  OllamaChatSchema,
} from '../ollama/fields.js';
import { maxTokensOf, toCommonFields } from '../ollama/options.js';
import { type Prepared, prepareChat, prepareGenerate } from '../ollama/prepare.js';
import { newId } from '../openai/answer.js';
import { LogprobWriter } from '../openai/logprobs.js';
import { planRequests } from '../openai/plan.js';
import type { Models } from '../pool/models.js';
import { newRecord } from '../request-record.js';
import type { TypedApp } from './typed-app.js';

/** One of the two endpoints. */
interface Endpoint<Body extends GenerationBody> {
  readonly form: 'message' | 'response';
  /** Nothing to answer: the model is loaded or unloaded. */
  readonly isEmpty: boolean;
  readonly showsContext: boolean;
  readonly prepare: (body: Body, service: ModelService, asker: Asker) => Promise<Prepared>;
}

/** Ollama's API, as far as it generates text. */
export function addOllamaRoutes(app: TypedApp, models: Models, host: RequestHost): void {
  const onRequest = refuseEarly({ inFlight: host.inFlight, admission: models });

  app.post('/api/chat', { schema: { body: OllamaChatSchema }, onRequest }, (request, reply) =>
    answer(models, host, request, reply, request.body, {
      form: 'message',
      isEmpty: !request.body.messages?.length,
      showsContext: false,
      prepare: prepareChat,
    }),
  );

  app.post('/api/generate', { schema: { body: GenerateSchema }, onRequest }, (request, reply) =>
    answer(models, host, request, reply, request.body, {
      form: 'response',
      isEmpty: !request.body.prompt && !request.body.images?.length,
      showsContext: request.body.raw !== true,
      prepare: prepareGenerate,
    }),
  );
}

async function answer<Body extends GenerationBody>(
  models: Models,
  host: RequestHost,
  request: FastifyRequest,
  reply: FastifyReply,
  body: Body,
  { form, isEmpty, showsContext, prepare }: Endpoint<Body>,
): Promise<object | undefined> {
  const keepAlive = keepAliveOf(body);
  const entry = models.find(body.model);
  if (isEmpty && keepAlive === 0) {
    await models.unload(entry);
    return emptyAnswer(body.model, form, 'unload');
  }
  const askedAt = host.clock.now();
  const service = await models.useGenerator(body.model, reply);
  const loadMs = host.clock.now() - askedAt;
  entry.keepFor(keepAlive);
  if (isEmpty) return emptyAnswer(body.model, form, 'load');
  const fields = toCommonFields(body.options ?? {});
  const logprobs = wantedLogprobs(body);
  const client = host.clientOf(request);
  const { tokenIds, message, grammar, checks, tools, continuesPrompt } = await whileConnected(
    reply,
    (signal) => prepare(body, service, { client, signal }),
  );
  const { maxModelLength } = service.engine.info;
  const context = { promptTokens: tokenIds.length, context: maxModelLength };
  // More than there is room for is no error: the answer ends where the context does.
  const standard = service.model.defaultMaxTokens ?? maxModelLength;
  const wanted = Math.min(maxTokensOf(body.options ?? {}) ?? standard, maxModelLength);
  const param = form === 'message' ? 'messages' : 'prompt';
  const maxTokens = outputBudget({ ...context, asked: null, standard: wanted, param });
  const id = newId('ollama');
  const [planned] = planRequests(id, [{ tokenIds, maxTokens }], fields, service, host.randomSeed, {
    message,
    grammar,
    ...host.shareOf(request, {}),
    route: form === 'message' ? 'chat' : 'completions',
    continuesPrompt,
    logprobs,
  });
  return answerOllama(host, service, request, reply, {
    request: planned,
    checks,
    record: newRecord(id, service.name),
    model: body.model,
    stream: body.stream !== false,
    newCallId: () => tools?.format.newCallId() ?? newCallId(),
    loadMs,
    form,
    showsContext,
    logprobs,
    writer: new LogprobWriter(service.model.tokenizer, { asIds: false }),
  });
}

/** @throws OctavoError `invalid_request` for `top_logprobs` alone */
function wantedLogprobs(body: GenerationBody): number | null {
  if (body.logprobs === true) return body.top_logprobs ?? 0;
  if (!body.top_logprobs) return null;
  throw new OctavoError('invalid_request', 'top_logprobs is allowed only with logprobs: true', {
    param: 'top_logprobs',
  });
}
