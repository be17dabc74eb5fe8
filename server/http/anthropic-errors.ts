import type { IncomingHttpHeaders } from 'node:http';
import { clip } from '../../engine/clip.js';
import type { OctavoError } from '../../engine/errors.js';

/** An error as clients of Anthropic's API receive it. */
export interface AnthropicErrorBody {
  readonly type: 'error';
  readonly error: {
    readonly type: string;
    readonly message: string;
    /** Where the error has a code that says more than its type. */
    readonly details?: { readonly error_code: string };
  };
  readonly request_id: string;
}

/**
 * Whether a client expects answers as Anthropic's API words them: it asks for one of the endpoints
 * that only this API has, or says so by a header that all of its clients send.
 *
 * @param url path and query
 */
export function speaksAnthropic({
  url,
  headers,
}: {
  readonly url?: string | undefined;
  readonly headers: IncomingHttpHeaders;
}): boolean {
  return headers['anthropic-version'] !== undefined || /^\/v1\/messages(?:[/?]|$)/.test(url ?? '');
}

/** The status by which Anthropic's clients recognize a server that is too busy. */
const OVERLOADED = 529;

export const anthropicStatus = ({ kind, entry }: OctavoError): number =>
  kind === 'overloaded' ? OVERLOADED : entry.status;

/** @param message as it may be shown to clients */
export function anthropicErrorBody(
  error: OctavoError,
  message: string,
  requestId: string,
): AnthropicErrorBody {
  const { code } = error.entry;
  return {
    type: 'error',
    error: {
      type: typeOf(error.entry.status),
      message,
      ...(code === null ? {} : { details: { error_code: code } }),
    },
    request_id: clip(requestId),
  };
}

function typeOf(status: number): string {
  switch (status) {
    case 401:
      return 'authentication_error';
    case 403:
      return 'permission_error';
    case 404:
      return 'not_found_error';
    case 408:
    case 504:
      return 'timeout_error';
    case 409:
      return 'conflict_error';
    case 413:
      return 'request_too_large';
    case 429:
      return 'rate_limit_error';
    case 503:
      return 'overloaded_error';
    default:
      return status < 500 ? 'invalid_request_error' : 'api_error';
  }
}
