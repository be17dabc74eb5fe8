import { STATUS_CODES } from 'node:http';
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { clip } from '../../engine/clip.js';
import { type ErrorName, OctavoError } from '../../engine/errors.js';
import {
  type AnthropicErrorBody,
  anthropicErrorBody,
  anthropicStatus,
  speaksAnthropic,
} from './anthropic-errors.js';
import { type OllamaErrorBody, speaksOllama } from './ollama-errors.js';

/** Long enough for the server's own text around 200 characters of input. */
const MAX_MESSAGE = 1000;

/** Default of errors without their own value. */
const RETRY_AFTER_SECONDS = 1;

/** An error as API clients receive it. */
export interface ErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string | null;
  };
}

export function errorBody(error: OctavoError): ErrorBody {
  const { type, code } = error.entry;
  const param = error.param === null ? null : clip(error.param);
  return { error: { message: publicMessage(error), type, param, code } };
}

/** Internal errors may name paths and internals, which go to the log only. */
function publicMessage(error: OctavoError): string {
  if (error.entry.status !== 500) return clip(error.message, MAX_MESSAGE);
  return error.kind === 'engine_failed'
    ? "the engine has failed; the server's log says why"
    : "internal error; the server's log says more";
}

/** The same for a client that speaks Anthropic's API. */
export const toAnthropicBody = (error: OctavoError, requestId: string): AnthropicErrorBody =>
  anthropicErrorBody(error, publicMessage(error), requestId);

/** The same for a client that speaks Ollama's API. */
export const toOllamaBody = (error: OctavoError): OllamaErrorBody => ({
  error: publicMessage(error),
});

/** Status and body of an error, in the words of the API that the request speaks. */
export function errorAnswer(
  request: Pick<FastifyRequest, 'url' | 'headers' | 'id'>,
  error: OctavoError,
): { readonly status: number; readonly body: ErrorBody | AnthropicErrorBody | OllamaErrorBody } {
  if (speaksOllama(request)) return { status: error.entry.status, body: toOllamaBody(error) };
  if (!speaksAnthropic(request)) return { status: error.entry.status, body: errorBody(error) };
  return { status: anthropicStatus(error), body: toAnthropicBody(error, request.id) };
}

export function sendError(reply: FastifyReply, error: OctavoError): void {
  const { status } = error.entry;
  const seconds = error.retryAfterSeconds ?? (status === 503 ? RETRY_AFTER_SECONDS : null);
  if (seconds !== null) reply.header('retry-after', String(seconds));
  const answer = errorAnswer(reply.request, error);
  void reply.code(answer.status).send(answer.body);
}

/** Maps errors of Fastify and of other code to the table. */
export function toOctavoError(error: unknown): OctavoError {
  if (error instanceof OctavoError) return error;
  const { code, statusCode } = error as Partial<FastifyError>;
  const known = FASTIFY_ERRORS[code ?? ''];
  if (known) return new OctavoError(known[0], known[1], { cause: error });
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return new OctavoError('invalid_request', 'the request is not valid', { cause: error });
  }
  return new OctavoError('internal', error instanceof Error ? error.message : String(error), {
    cause: error,
  });
}

const FASTIFY_ERRORS: Readonly<Record<string, [ErrorName, string]>> = {
  FST_ERR_CTP_INVALID_JSON_BODY: ['invalid_request', 'the body is not valid JSON'],
  FST_ERR_CTP_EMPTY_JSON_BODY: ['invalid_request', 'the body is empty; it must be a JSON object'],
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: [
    'invalid_request',
    'the body is not as long as content-length says',
  ],
  FST_ERR_CTP_BODY_TOO_LARGE: ['body_too_large', 'the body is too large'],
  FST_ERR_CTP_INVALID_MEDIA_TYPE: [
    'unsupported_media_type',
    'the content-type must be application/json',
  ],
};

/** The bytes of an error response for a connection without a request to answer. */
export function errorResponse(
  error: OctavoError,
  headers: Readonly<Record<string, string>> = {},
): string {
  const { status } = error.entry;
  const body = JSON.stringify(errorBody(error));
  const lines = {
    'content-type': 'application/json',
    connection: 'close',
    'content-length': String(Buffer.byteLength(body)),
    ...headers,
  };
  const head = Object.entries(lines).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${head.join('')}\r\n${body}`;
}
