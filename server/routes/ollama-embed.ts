import type { FastifyReply, FastifyRequest } from 'fastify';
import { OctavoError } from '../../engine/errors.js';
import { truncateAndNormalize } from '../../engine/generation/normalize.js';
import { embed } from '../generation/embed.js';
import {
  assertEmbeds,
  embeddingTokens,
  poolingOf,
  promptOf,
} from '../generation/embedding-texts.js';
import { type RequestHost, runInFlight } from '../generation/run-in-flight.js';
import { whileConnected } from '../http/in-flight.js';
import { costOf } from '../limits/cost.js';
import { refuseEarly } from '../limits/refuse-early.js';
import { nanoseconds } from '../ollama/answer-ollama.js';
import { EmbeddingsSchema, EmbedSchema, keepAliveOf } from '../ollama/fields.js';
import { newId } from '../openai/answer.js';
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
  assertEmbeds(service);
  const loadMs = host.clock.now() - askedAt;
  if (texts.every((text) => text === '')) return { vectors: [], tokens: 0, loadMs };
  const { maxModelLength, hiddenSize } = service.engine.info;
  if (dimensions !== null && dimensions > hiddenSize) {
    const message = `dimensions: ${dimensions} is more than the model has, ${hiddenSize}`;
    throw new OctavoError('invalid_request', message, { param: 'dimensions' });
  }
  const client = host.clientOf(request);
  const options = {
    param,
    addSpecialTokens: true,
    prompt: promptOf(service.model, null, null),
    cutTo: truncates ? maxModelLength : null,
  };
  const prompts = await whileConnected(reply, (signal) =>
    embeddingTokens(texts, service, options, { client, signal }),
  );
  const record = newRecord(newId('ollama'), service.name);
  const cost = costOf(prompts.map((promptTokenIds) => ({ promptTokenIds })));
  const vectors = await runInFlight(host, service, request, reply, record, cost, (running) =>
    embed(
      host,
      service,
      {
        id: record.id,
        prompts,
        pooling: poolingOf(service),
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
