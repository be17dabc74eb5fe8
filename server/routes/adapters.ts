import type { FastifyReply } from 'fastify';
import type { Logger } from 'pino';
import { Type } from 'typebox';
import type { EngineAdapters } from '../../engine/client/engine-port.js';
import { clip } from '../../engine/clip.js';
import { OctavoError } from '../../engine/errors.js';
import { refuseUnsupported } from '../openai/fields/unsupported-fields.js';
import type { Models } from '../pool/models.js';
import type { TypedApp } from './typed-app.js';

const Name = Type.String({ minLength: 1, maxLength: 256 });

const LoadSchema = Type.Object({
  lora_name: Name,
  /** Directory on the server. */
  lora_path: Type.String({ minLength: 1, maxLength: 4096 }),
  /** Whether it takes the place of a loaded adapter of this name. */
  load_inplace: Type.Optional(Type.Boolean()),
});

const UnloadSchema = Type.Object({
  lora_name: Name,
  /** vLLM's own number, which it does not need either. */
  lora_int_id: Type.Optional(Type.Union([Type.Integer(), Type.Null()])),
});

/** Adapters that come and go while the server runs, as vLLM has them: answers are texts. */
export function addAdapterRoutes(app: TypedApp, models: Models, logger: Logger): void {
  app.post('/v1/load_lora_adapter', { schema: { body: LoadSchema } }, async (request, reply) => {
    const { body } = request;
    const { lora_name: name, lora_path: directory } = body;
    refuseUnsupported(body, LoadSchema);
    if (models.hasModel(name)) {
      const message = `the model itself is called '${clip(name)}'`;
      throw new OctavoError('adapter_exists', message, { param: 'lora_name' });
    }
    const adapter = await (await adaptersOf(models, reply)).load(
      name,
      directory,
      body.load_inplace === true,
    );
    logger.info({ adapter: name, directory, rank: adapter.rank }, 'adapter loaded');
    return reply.type('text/plain').send(`Success: LoRA adapter '${name}' added successfully.`);
  });

  app.post(
    '/v1/unload_lora_adapter',
    { schema: { body: UnloadSchema } },
    async (request, reply) => {
      const { lora_name: name } = request.body;
      refuseUnsupported(request.body, UnloadSchema);
      await (await adaptersOf(models, reply)).unload(name);
      logger.info({ adapter: name }, 'adapter unloaded');
      return reply.type('text/plain').send(`Success: LoRA adapter '${name}' removed successfully.`);
    },
  );
}

/** @throws OctavoError `invalid_request` where the engine takes none */
async function adaptersOf(models: Models, reply: FastifyReply): Promise<EngineAdapters> {
  const { adapters } = (await models.use(null, reply)).engine;
  if (adapters) return adapters;
  const message = 'the engine takes no adapters: start it with --enable-lora';
  throw new OctavoError('invalid_request', message);
}
