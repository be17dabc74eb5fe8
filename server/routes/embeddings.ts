import { endianness } from 'node:os';
import { type Static, Type } from 'typebox';
import { OctavoError } from '../../engine/errors.js';
import { truncateAndNormalize } from '../../engine/generation/normalize.js';
import type { Asker } from '../../engine/job-pool/job-pool.js';
import { contextExceeded } from '../../engine/text/assert-may-fit.js';
import type { TokenId } from '../../scheduler/ids.js';
import { embed } from '../generation/embed.js';
import { type RequestHost, runInFlight } from '../generation/run-in-flight.js';
import { whileConnected } from '../http/in-flight.js';
import { costOf } from '../limits/cost.js';
import { refuseEarly } from '../limits/refuse-early.js';
import type { ModelService } from '../models.js';
import { newId } from '../openai/answer.js';
import { encodePrompts, FilledPromptSchema } from '../openai/fields/prompt-input.js';
import { COMMON_FIELDS, Count, Nullable } from '../openai/fields/request-fields.js';
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
      const { hiddenSize } = service.engine.info;
      const dimensions = body.dimensions ?? hiddenSize;
      if (dimensions > hiddenSize) {
        const message = `dimensions: ${dimensions} is more than the model has, ${hiddenSize}`;
        throw new OctavoError('invalid_request', message, { param: 'dimensions' });
      }
      const client = host.clientOf(request);
      const prompts = await whileConnected(reply, (signal) =>
        encodeInput(body, service, { client, signal }),
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
            pooling: service.settings.pooling,
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

/**
 * @throws OctavoError `invalid_request` for an empty input, `context_length_exceeded` for one that
 *   does not fit
 */
async function encodeInput(
  body: Static<typeof EmbeddingSchema>,
  service: ModelService,
  asker: Asker,
): Promise<TokenId[][]> {
  const { input } = body;
  const { maxModelLength } = service.engine.info;
  const batch = typeof input !== 'string' && typeof input[0] !== 'number';
  const encoding = { param: 'input', addSpecialTokens: body.add_special_tokens !== false };
  const prompts = await encodePrompts(input, service, encoding, asker);
  prompts.forEach(({ length }, index) => {
    const param = batch ? `input[${index}]` : 'input';
    // Special tokens alone do not make a text.
    if (length === 0 || input === '' || input[index] === '') {
      throw new OctavoError('invalid_request', `${param} is empty`, { param });
    }
    if (length > maxModelLength) {
      throw contextExceeded({
        context: maxModelLength,
        promptTokens: length,
        wanted: null,
        param,
      });
    }
  });
  return prompts;
}

/** Little-endian float32, as clients read it. */
function toBase64(embedding: Float32Array): string {
  const bytes = Buffer.from(embedding.buffer, embedding.byteOffset, embedding.byteLength);
  // A copy is swapped: the vector stays as it is.
  return (endianness() === 'LE' ? bytes : Buffer.from(bytes).swap32()).toString('base64');
}
