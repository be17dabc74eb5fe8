import { STATUS_CODES } from 'node:http';
import type { OctavoError } from '../../engine/errors.js';
import { errorBody } from './errors.js';

/** An error as the last answer of a connection on which there is no request to answer: all its bytes. */
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
