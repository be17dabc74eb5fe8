import { type Static, Type } from 'typebox';

const Time = Type.Integer({ description: 'seconds since 1970' });

const OrNull = <T extends Type.TSchema>(schema: T): Type.TUnion<[T, Type.TNull]> =>
  Type.Union([schema, Type.Null()]);

/** OpenAI's file. */
export const FileSchema = Type.Object({
  id: Type.String(),
  object: Type.Literal('file'),
  bytes: Type.Integer(),
  created_at: Time,
  expires_at: OrNull(Time),
  filename: Type.String(),
  purpose: Type.Enum(['batch', 'batch_output']),
  status: Type.Literal('processed'),
});

export type FileObject = Static<typeof FileSchema>;

export const BATCH_STATUSES = [
  'validating',
  'in_progress',
  'finalizing',
  'completed',
  'failed',
  'cancelling',
  'cancelled',
  'expired',
] as const;

/** OpenAI's batch. */
export const BatchSchema = Type.Object({
  id: Type.String(),
  object: Type.Literal('batch'),
  endpoint: Type.String(),
  errors: OrNull(
    Type.Object({
      object: Type.Literal('list'),
      data: Type.Array(
        Type.Object({
          code: Type.String(),
          message: Type.String(),
          param: OrNull(Type.String()),
          line: OrNull(Type.Integer()),
        }),
      ),
    }),
  ),
  input_file_id: Type.String(),
  completion_window: Type.Literal('24h'),
  status: Type.Enum([...BATCH_STATUSES]),
  output_file_id: OrNull(Type.String()),
  error_file_id: OrNull(Type.String()),
  created_at: Time,
  in_progress_at: OrNull(Time),
  expires_at: Time,
  finalizing_at: OrNull(Time),
  completed_at: OrNull(Time),
  failed_at: OrNull(Time),
  expired_at: OrNull(Time),
  cancelling_at: OrNull(Time),
  cancelled_at: OrNull(Time),
  request_counts: Type.Object({
    total: Type.Integer(),
    completed: Type.Integer(),
    failed: Type.Integer(),
  }),
  metadata: OrNull(Type.Record(Type.String(), Type.String())),
});

export type BatchObject = Static<typeof BatchSchema>;

/** A file with what its client is not shown. */
export const FileRecordSchema = Type.Object({
  owner: Type.String(),
  /** Requests of an input; null for answers. */
  requests: OrNull(Type.Integer()),
  object: FileSchema,
});

export type FileRecord = Static<typeof FileRecordSchema>;

/** A batch with what its client is not shown. */
export const BatchRecordSchema = Type.Object({
  owner: Type.String(),
  /** Files of its answers, which become files of the client when it has ended. */
  outputId: Type.String(),
  errorId: Type.String(),
  /** How long these are kept, seconds; null: until they are deleted. */
  outputSeconds: OrNull(Type.Integer()),
  object: BatchSchema,
});

export type BatchRecord = Static<typeof BatchRecordSchema>;

/** Whether nothing will change any more. */
export const hasEnded = ({ status }: Pick<BatchObject, 'status'>): boolean =>
  status === 'completed' || status === 'failed' || status === 'cancelled' || status === 'expired';
