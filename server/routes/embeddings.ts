import { endianness } from 'node:os';
import { Type } from 'typebox';
import { OctavoError } from '../../engine/errors.js';
import { truncateAndNormalize } from '../../engine/generation/normalize.js';
import { INPUT_TYPES } from '../../engine/text/embedding-prompts.js';
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
import { newId } from '../openai/answer.js';
import { FilledPromptSchema } from '../openai/fields/prompt-input.js';
import { COMMON_FIELDS, Count, Nullable } from '../openai/fields/request-fields.js';
import { cutTo, TruncateSchema } from '../openai/fields/truncate-field.js';
import { refuseUnsupported } from '../openai/fields/unsupported-fields.js';
import type { Models } from '../pool/models.js';
import { newRecord } from '../request-record.js';
import type { TypedApp } from './typed-app.js';

const { model, user, safety_identifier, priority, cache_salt } = COMMON_FIELDS;

export const EmbeddingSchema = Type.Object({
  model,
  input: FilledPromptSchema,
  encoding_format: Nullable(Type.Enum(['float', 'base64'])),
  /** Cuts the vectors; they are normalized afterwards. */
  dimensions: Nullable(Count(1)),
  add_special_tokens: Nullable(Type.Boolean()),
  /** Cohere's and NVIDIA's: what the texts are for, by which the model's prompt is chosen. */
  input_type: Nullable(Type.Enum([...INPUT_TYPES])),
  /** Text Embeddings Inference's: one of the prompts in config_sentence_transformers.json. */
  prompt_name: Nullable(Type.String()),
  truncate_prompt_tokens: TruncateSchema,
  user,
  safety_identifier,
  priority,
  cache_salt,
});

export function addEmbeddingsRoute(app: TypedApp, models: Models, host: RequestHost): void {
  app.post(
    '/v1/embeddings',
    {
      schema: { body: EmbeddingSchema },
      onRequest: refuseEarly({ inFlight: host.inFlight, admission: models }),
    },
    async (request, reply) => {
      const { body } = request;
      const service = await models.use(body.model, reply);
      refuseUnsupported(body, EmbeddingSchema);
      assertEmbeds(service);
      const { hiddenSize } = service.engine.info;
      const dimensions = body.dimensions ?? hiddenSize;
      if (dimensions > hiddenSize) {
        const message = `dimensions: ${dimensions} is more than the model has, ${hiddenSize}`;
        throw new OctavoError('invalid_request', message, { param: 'dimensions' });
      }
      const client = host.clientOf(request);
      const texts = {
        param: 'input',
        addSpecialTokens: body.add_special_tokens !== false,
        prompt: promptOf(service.model, body.prompt_name ?? null, body.input_type ?? null),
        cutTo: cutTo(body.truncate_prompt_tokens ?? null, service.engine.info.maxModelLength),
      };
      const prompts = await whileConnected(reply, (signal) =>
        embeddingTokens(body.input, service, texts, { client, signal }),
      );
      const cost = costOf(prompts.map((promptTokenIds) => ({ promptTokenIds })));
      const record = newRecord(newId('embd'), body.model ?? service.name);
      const embeddings = await runInFlight(host, service, request, reply, record, cost, (running) =>
        embed(
          host,
          service,
          {
            id: record.id,
            prompts,
            pooling: poolingOf(service),
            priority: body.priority ?? 0,
            cacheSalt: body.cache_salt ?? null,
            tenant: host.shareOf(request, body).tenant,
            arrivedAt: request.arrivedAt,
            record,
          },
          running,
        ),
      );
      const write = body.encoding_format === 'base64' ? toBase64 : Array.from<number>;
      return {
        object: 'list',
        data: embeddings.map((embedding, index) => ({
          object: 'embedding',
          index,
          embedding: write(truncateAndNormalize(embedding, dimensions)),
        })),
        model: record.model,
        usage: { prompt_tokens: record.promptTokens, total_tokens: record.promptTokens },
      };
    },
  );
}

/** Little-endian float32, as clients read it. */
function toBase64(embedding: Float32Array): string {
  const bytes = Buffer.from(embedding.buffer, embedding.byteOffset, embedding.byteLength);
  // A copy is swapped: the vector stays as it is.
  return (endianness() === 'LE' ? bytes : Buffer.from(bytes).swap32()).toString('base64');
}
