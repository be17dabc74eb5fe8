/**
 * The one table of errors. API clients receive `status` and `type`; `exitCode` is the process' exit
 * code when the error ends it. A `code` of null appears as null in the API's error body.
 */
export const ERRORS = {
  usage: { status: 500, type: 'server_error', code: null, exitCode: 2 },
  port_in_use: { status: 500, type: 'server_error', code: null, exitCode: 1 },
  model_file_missing: { status: 500, type: 'server_error', code: null, exitCode: 1 },
  model_file_corrupt: { status: 500, type: 'server_error', code: null, exitCode: 1 },
  model_unsupported: { status: 500, type: 'server_error', code: null, exitCode: 1 },
  hub_model_not_found: { status: 500, type: 'server_error', code: null, exitCode: 1 },
  hub_access_denied: { status: 500, type: 'server_error', code: null, exitCode: 1 },
  hub_unreachable: { status: 500, type: 'server_error', code: null, exitCode: 1 },
  hub_download_failed: { status: 500, type: 'server_error', code: null, exitCode: 1 },
  redis_unreachable: { status: 500, type: 'server_error', code: null, exitCode: 1 },
  kv_events_unavailable: { status: 500, type: 'server_error', code: null, exitCode: 1 },
  tracing_unavailable: { status: 500, type: 'server_error', code: null, exitCode: 1 },
  model_cache_unusable: { status: 500, type: 'server_error', code: null, exitCode: 1 },
  kv_cache_dir_unusable: { status: 500, type: 'server_error', code: null, exitCode: 1 },
  system_limit: { status: 500, type: 'server_error', code: null, exitCode: 1 },
  cpu_unsupported: { status: 500, type: 'server_error', code: null, exitCode: 1 },
  device_unavailable: { status: 500, type: 'server_error', code: null, exitCode: 1 },
  kv_pool_too_small: { status: 500, type: 'server_error', code: null, exitCode: 1 },
  endpoint_unusable: { status: 500, type: 'server_error', code: null, exitCode: 1 },
  invalid_request: { status: 400, type: 'invalid_request_error', code: null, exitCode: 1 },
  task_unsupported: {
    status: 400,
    type: 'invalid_request_error',
    code: 'task_unsupported',
    exitCode: 1,
  },
  context_length_exceeded: {
    status: 400,
    type: 'invalid_request_error',
    code: 'context_length_exceeded',
    exitCode: 1,
  },
  invalid_api_key: {
    status: 401,
    type: 'invalid_request_error',
    code: 'invalid_api_key',
    exitCode: 1,
  },
  key_not_allowed: {
    status: 403,
    type: 'invalid_request_error',
    code: 'insufficient_permissions',
    exitCode: 1,
  },
  host_not_allowed: {
    status: 403,
    type: 'invalid_request_error',
    code: 'host_not_allowed',
    exitCode: 1,
  },
  pull_not_allowed: {
    status: 403,
    type: 'invalid_request_error',
    code: 'pull_not_allowed',
    exitCode: 1,
  },
  batches_not_enabled: {
    status: 403,
    type: 'invalid_request_error',
    code: 'batches_not_enabled',
    exitCode: 1,
  },
  batch_storage_full: {
    status: 409,
    type: 'invalid_request_error',
    code: 'batch_storage_full',
    exitCode: 1,
  },
  file_in_use: {
    status: 409,
    type: 'invalid_request_error',
    code: 'file_in_use',
    exitCode: 1,
  },
  file_not_found: { status: 404, type: 'invalid_request_error', code: null, exitCode: 1 },
  batch_not_found: { status: 404, type: 'invalid_request_error', code: null, exitCode: 1 },
  model_not_found: {
    status: 404,
    type: 'invalid_request_error',
    code: 'model_not_found',
    exitCode: 1,
  },
  output_too_large: {
    status: 400,
    type: 'invalid_request_error',
    code: 'output_too_large',
    exitCode: 1,
  },
  route_not_found: { status: 404, type: 'invalid_request_error', code: null, exitCode: 1 },
  response_not_found: { status: 404, type: 'invalid_request_error', code: null, exitCode: 1 },
  previous_response_not_found: {
    status: 400,
    type: 'invalid_request_error',
    code: 'previous_response_not_found',
    exitCode: 1,
  },
  thread_unsupported: {
    status: 400,
    type: 'invalid_request_error',
    code: 'thread_unsupported_request',
    exitCode: 1,
  },
  method_not_allowed: { status: 405, type: 'invalid_request_error', code: null, exitCode: 1 },
  output_unread: { status: 408, type: 'timeout_error', code: 'output_unread', exitCode: 1 },
  request_timeout: { status: 408, type: 'timeout_error', code: null, exitCode: 1 },
  prefix_cache_in_use: {
    status: 409,
    type: 'invalid_request_error',
    code: 'prefix_cache_in_use',
    exitCode: 1,
  },
  pinned_prefixes_full: {
    status: 409,
    type: 'invalid_request_error',
    code: 'pinned_prefixes_full',
    exitCode: 1,
  },
  pinned_prefix_not_found: {
    status: 404,
    type: 'invalid_request_error',
    code: 'pinned_prefix_not_found',
    exitCode: 1,
  },
  kv_tier_not_cleared: {
    status: 503,
    type: 'server_error',
    code: 'kv_tier_not_cleared',
    exitCode: 1,
  },
  body_too_large: { status: 413, type: 'invalid_request_error', code: null, exitCode: 1 },
  unsupported_media_type: { status: 415, type: 'invalid_request_error', code: null, exitCode: 1 },
  rate_limited: {
    status: 429,
    type: 'rate_limit_error',
    code: 'rate_limit_exceeded',
    exitCode: 1,
  },
  headers_too_large: { status: 431, type: 'invalid_request_error', code: null, exitCode: 1 },
  client_closed: {
    status: 499,
    type: 'invalid_request_error',
    code: 'client_closed',
    exitCode: 1,
  },
  adapter_invalid: {
    status: 400,
    type: 'invalid_request_error',
    code: 'adapter_invalid',
    exitCode: 1,
  },
  adapter_exists: {
    status: 400,
    type: 'invalid_request_error',
    code: 'adapter_exists',
    exitCode: 1,
  },
  adapters_full: {
    status: 409,
    type: 'invalid_request_error',
    code: 'adapters_full',
    exitCode: 1,
  },
  adapter_not_found: {
    status: 404,
    type: 'invalid_request_error',
    code: 'adapter_not_found',
    exitCode: 1,
  },
  engine_failed: { status: 500, type: 'server_error', code: 'engine_failed', exitCode: 1 },
  engine_restarting: {
    status: 503,
    type: 'server_error',
    code: 'engine_restarting',
    exitCode: 1,
  },
  internal: { status: 500, type: 'server_error', code: null, exitCode: 1 },
  generation_timeout: {
    status: 504,
    type: 'timeout_error',
    code: 'generation_timeout',
    exitCode: 1,
  },
  model_unavailable: {
    status: 503,
    type: 'server_error',
    code: 'model_unavailable',
    exitCode: 1,
  },
  loading: { status: 503, type: 'server_error', code: 'loading', exitCode: 1 },
  draining: { status: 503, type: 'server_error', code: 'draining', exitCode: 1 },
  overloaded: { status: 503, type: 'server_error', code: 'overloaded', exitCode: 1 },
} as const satisfies Record<string, ErrorEntry>;

interface ErrorEntry {
  readonly status: number;
  readonly type: string;
  readonly code: string | null;
  readonly exitCode: 1 | 2;
}

export type ErrorName = keyof typeof ERRORS;

/** An error for users: one line that says what is wrong, where, and what is allowed. */
export class OctavoError extends Error {
  override readonly name = 'OctavoError';
  readonly kind: ErrorName;
  /**
   * The API's code; null when it has none. `kind` identifies the error. An own property, because
   * frameworks set and read codes under this name.
   */
  readonly code: string | null;
  /** The request field, flag or file at fault. */
  readonly param: string | null;
  /** Seconds after which the same request may succeed; null when unknown. */
  readonly retryAfterSeconds: number | null;

  constructor(
    kind: ErrorName,
    message: string,
    options: { param?: string; cause?: unknown; retryAfterSeconds?: number } = {},
  ) {
    super(message, { cause: options.cause });
    this.kind = kind;
    this.code = ERRORS[kind].code;
    this.param = options.param ?? null;
    this.retryAfterSeconds = options.retryAfterSeconds ?? null;
  }

  get entry(): ErrorEntry {
    return ERRORS[this.kind];
  }
}

/** What another library says in the first line of its error; the rest is for its developers. */
export function reasonOf(cause: unknown): string {
  return cause instanceof Error ? cause.message.split('\n')[0] : String(cause);
}

/**
 * Plain form of an `OctavoError`, for message ports: class instances lose their prototype there.
 */
export interface ErrorRecord {
  readonly kind: ErrorName;
  readonly message: string;
  readonly param: string | null;
}

export function toErrorRecord(error: unknown): ErrorRecord {
  if (error instanceof OctavoError) {
    return { kind: error.kind, message: error.message, param: error.param };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { kind: 'engine_failed', message, param: null };
}

export function fromErrorRecord(record: ErrorRecord): OctavoError {
  return new OctavoError(
    record.kind,
    record.message,
    record.param === null ? {} : { param: record.param },
  );
}
