import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import { Type } from 'typebox';
import { BATCH_URLS } from '../batch/batch-lines.js';
import type { Batches } from '../batch/batches.js';
import type { InFlight } from '../http/in-flight.js';
import { Nullable } from '../openai/fields/request-fields.js';
import { refuseUnsupported } from '../openai/fields/unsupported-fields.js';
import { pageOf } from '../openai/page.js';
import { addFileRoutes, ownerOf } from './files.js';
import type { TypedApp } from './typed-app.js';

const Id = Type.Object({ id: Type.String() });

const ListQuery = Type.Object({
  after: Type.Optional(Type.String()),
  limit: Type.Optional(Type.String()),
});

const CreateSchema = Type.Object({
  input_file_id: Type.String(),
  endpoint: Type.Enum([...BATCH_URLS]),
  completion_window: Type.Literal('24h'),
  metadata: Nullable(Type.Record(Type.String(), Type.String())),
  /** How long the files of answers are kept. */
  output_expires_after: Nullable(
    Type.Object({
      anchor: Type.Literal('created_at'),
      seconds: Type.Integer({ minimum: 3600, maximum: 30 * 24 * 3600 }),
    }),
  ),
});

/**
 * All routes of files and batches.
 *
 * @param open throws OctavoError `batches_not_enabled` where there are none
 * @param maxFileBytes of one upload
 */
export async function addBatchAndFileRoutes(
  app: TypedApp,
  open: () => Batches,
  inFlight: InFlight,
  maxFileBytes: number,
): Promise<void> {
  await app.register(async (scope) => {
    const routes = scope.withTypeProvider<TypeBoxTypeProvider>();
    // Before a body is read.
    routes.addHook('onRequest', async () => void open());
    await addFileRoutes(routes, open, maxFileBytes);
    addBatchRoutes(routes, open, inFlight);
  });
}

function addBatchRoutes(app: TypedApp, open: () => Batches, inFlight: InFlight): void {
  app.post('/v1/batches', { schema: { body: CreateSchema } }, async ({ body, key }) => {
    inFlight.assertAdmitting();
    refuseUnsupported(body, CreateSchema);
    return open().create(ownerOf({ key }), {
      endpoint: body.endpoint,
      inputFileId: body.input_file_id,
      metadata: body.metadata ?? null,
      outputSeconds: body.output_expires_after?.seconds ?? null,
    });
  });

  app.get('/v1/batches', { schema: { querystring: ListQuery } }, async ({ key, query }) =>
    pageOf(open().list(ownerOf({ key })), query, 'batch'),
  );

  app.get('/v1/batches/:id', { schema: { params: Id } }, async ({ key, params }) =>
    open().get(ownerOf({ key }), params.id),
  );

  app.post('/v1/batches/:id/cancel', { schema: { params: Id } }, async ({ key, params }) =>
    open().cancel(ownerOf({ key }), params.id),
  );
}
