import { type TSchema, Type } from 'typebox';
import { BatchSchema, FileSchema } from '../batch/batch-objects.js';
import type { Operation } from './operation.js';
import { OrNull } from './schemas.js';

const listOf = (schema: TSchema): TSchema =>
  Type.Object({
    object: Type.Literal('list'),
    data: Type.Array(schema),
    first_id: OrNull(Type.String()),
    last_id: OrNull(Type.String()),
    has_more: Type.Boolean(),
  });

const DeletedFile = Type.Object({
  id: Type.String(),
  object: Type.Literal('file'),
  deleted: Type.Literal(true),
});

const Form = Type.Object({
  file: Type.String({ format: 'binary' }),
  purpose: Type.Literal('batch'),
  'expires_after[anchor]': Type.Optional(Type.Literal('created_at')),
  'expires_after[seconds]': Type.Optional(Type.Integer({ minimum: 3600, maximum: 2_592_000 })),
});

/** Files and batches, by method and path. */
export const BATCH_OPERATIONS: Readonly<Record<string, Operation>> = {
  'POST /v1/files': {
    tag: 'batches',
    summary: 'Upload the requests of a batch: a form with file, and purpose batch',
    form: Form,
    answer: FileSchema,
  },
  'GET /v1/files': { tag: 'batches', summary: 'List files', answer: listOf(FileSchema) },
  'GET /v1/files/:id': { tag: 'batches', summary: 'Show a file', answer: FileSchema },
  'GET /v1/files/:id/content': {
    tag: 'batches',
    summary: 'Download a file',
    answer: null,
  },
  'DELETE /v1/files/:id': { tag: 'batches', summary: 'Delete a file', answer: DeletedFile },
  'POST /v1/batches': {
    tag: 'batches',
    summary: 'Answer the requests of a file, when there is nothing else to do',
    answer: BatchSchema,
  },
  'GET /v1/batches': { tag: 'batches', summary: 'List batches', answer: listOf(BatchSchema) },
  'GET /v1/batches/:id': { tag: 'batches', summary: 'Show a batch', answer: BatchSchema },
  'POST /v1/batches/:id/cancel': {
    tag: 'batches',
    summary: 'End a batch; what is answered becomes its files',
    answer: BatchSchema,
  },
};
