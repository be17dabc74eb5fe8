import type { FastifyReply, FastifyRequest } from 'fastify';
import { OctavoError } from '../../engine/errors.js';
import { truncateAndNormalize } from '../../engine/generation/normalize.js';
import { contextExceeded } from '../../engine/text/assert-may-fit.js';
import type { TokenId } from '../../scheduler/ids.js';
import { embed } from '../generation/embed.js';
import { type RequestHost, runInFlight } from '../generation/run-in-flight.js';
import { whileConnected } from '../http/in-flight.js';
import { costOf } from '../limits/cost.js';
import { refuseEarly } from '../limits/refuse-early.js';
import type { ModelService } from '../models.js';
import { nanoseconds } from '../ollama/answer-ollama.js';
import { EmbeddingsSchema, EmbedSchema, keepAliveOf } from '../ollama/fields.js';
import { newId } from '../openai/answer.js';
import { encodePrompts } from '../openai/fields/prompt-input.js';
import type { Models } from '../pool/models.js';
import { newRecord } from '../request-record.js';
import type { TypedApp } from './typed-app.js';

interface Asked {
  readonly model: string;
  readonly texts: readonly string[];
  readonly param: 'input' | 'prompt';
  readonly truncates: boolean;
  readonly dimensions: number | null;
  readonly keepAlive: number | null;
}

interface Embedded {
  readonly vectors: readonly Float32Array[];
  readonly tokens: number;
  readonly loadMs: number;
}

/** Ollama's embeddings: of several texts, and the older form of one. */
export function addOllamaEmbedRoutes(app: TypedApp, models: Models, host: RequestHost): void {
  const onRequest = refuseEarly({ inFlight: host.inFlight, admission: models });

  app.post('/api/embed', { schema: { body: EmbedSchema }, onRequest }, async (request, reply) => {
    const { body } = request;
    const { input } = body;
    const asked = {
      model: body.model,
      texts: typeof input === 'string' ? [input] : input,
      param: 'input',
      truncates: body.truncate !== false,
      dimensions: body.dimensions ?? null,
      keepAlive: keepAliveOf(body),
    } as const;
    const { vectors, tokens, loadMs } = await embedTexts(models, host, request, reply, asked);
    return {
      model: body.model,
      embeddings: vectors.map((vector) => Array.from(vector)),
      total_duration: nanoseconds(host.clock.now() - request.arrivedAt),
      load_duration: nanoseconds(loadMs),
      prompt_eval_count: tokens,
    };
  });

  app.post(
    '/api/embeddings',
    { schema: { body: EmbeddingsSchema }, onRequest },
    async (request, reply) => {
      const { model, prompt } = request.body;
      const asked = {
        model,
        texts: [prompt ?? ''],
        param: 'prompt',
        truncates: true,
        dimensions: null,
        keepAlive: keepAliveOf(request.body),
      } as const;
      const { vectors } = await embedTexts(models, host, request, reply, asked);
      return { embedding: vectors.flatMap((vector) => Array.from(vector)) };
    },
  );
}

/** An empty text has no embedding: without any other, the model is only loaded. */
async function embedTexts(
  models: Models,
  host: RequestHost,
  request: FastifyRequest,
  reply: FastifyReply,
  { model, texts, param, truncates, dimensions, keepAlive }: Asked,
): Promise<Embedded> {
  const askedAt = host.clock.now();
  const entry = models.find(model);
  const service = await models.use(model, reply);
  entry.keepFor(keepAlive);
  const loadMs = host.clock.now() - askedAt;
  if (texts.every((text) => text === '')) return { vectors: [], tokens: 0, loadMs };
  const { maxModelLength, hiddenSize } = service.engine.info;
  if (dimensions !== null && dimensions > hiddenSize) {
    const message = `dimensions: ${dimensions} is more than the model has, ${hiddenSize}`;
    throw new OctavoError('invalid_request', message, { param: 'dimensions' });
  }
  const empty = texts.indexOf('');
  if (empty >= 0) {
    throw new OctavoError('invalid_request', `${param}[${empty}] is empty`, { param });
  }
  const client = host.clientOf(request);
  const encoded = await whileConnected(reply, (signal) =>
    encodePrompts(
      cutTexts(texts, service, truncates),
      service,
      { param, addSpecialTokens: true },
      { client, signal },
    ),
  );
  const prompts = encoded.map((tokens) => fitting(tokens, maxModelLength, truncates, param));
  const record = newRecord(newId('ollama'), service.name);
  const cost = costOf(prompts.map((promptTokenIds) => ({ promptTokenIds })));
  const vectors = await runInFlight(host, service, request, reply, record, cost, (running) =>
    embed(
      host,
      service,
      {
        id: record.id,
        prompts,
        pooling: service.settings.pooling,
        priority: 0,
        cacheSalt: null,
        tenant: host.shareOf(request, {}).tenant,
        arrivedAt: request.arrivedAt,
        record,
      },
      running,
    ),
  );
  return {
    vectors: vectors.map((vector) => truncateAndNormalize(vector, dimensions ?? hiddenSize)),
    tokens: record.promptTokens,
    loadMs,
  };
}

/** UTF-16 units that a normalizer may make one of. */
const SHRINKS_AT_MOST = 4;

/** What is surely behind the context need not be made tokens of. */
function cutTexts(
  texts: readonly string[],
  { model, engine }: ModelService,
  truncates: boolean,
): string[] {
  const longest = engine.info.maxModelLength * model.tokenizer.longestToken * SHRINKS_AT_MOST;
  return texts.map((text) => (truncates ? text.slice(0, longest) : text));
}

function fitting(
  tokens: readonly TokenId[],
  context: number,
  truncates: boolean,
  param: 'input' | 'prompt',
): readonly TokenId[] {
  if (tokens.length <= context) return tokens;
  if (truncates) return tokens.slice(0, context);
  throw contextExceeded({ context, promptTokens: tokens.length, wanted: null, param });
}
