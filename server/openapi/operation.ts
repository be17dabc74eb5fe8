import type { TSchema } from 'typebox';

/**
 * What the document says of a route besides its request, which the route's own schemas describe.
 */
export interface Operation {
  readonly tag:
    | 'generation'
    | 'messages'
    | 'responses'
    | 'ollama'
    | 'batches'
    | 'models and tokens'
    | 'operations';
  readonly summary: string;
  /** Fields of a form, where the body is one. */
  readonly form?: TSchema;
  /** Null: a text. */
  readonly answer: TSchema | null;
  /** One server-sent event, where `stream: true` is possible. */
  readonly event?: TSchema;
  /** One line of a stream of JSON, which is the default. */
  readonly line?: TSchema;
  /** The body of its errors; absent: OpenAI's. */
  readonly error?: TSchema;
}
