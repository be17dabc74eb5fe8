import type { Socket } from 'node:net';
import { OctavoError } from '../../engine/errors.js';
import { errorBody } from './errors.js';

const REASONS: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  408: 'Request Timeout',
  431: 'Request Header Fields Too Large',
};

/** Answers what is not a request: bytes that are no HTTP, too many headers, a sender that stopped in the middle. Then the connection ends. */
export function answerBrokenRequest(error: Error, socket: Socket): void {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ECONNRESET' || !socket.writable) return;
  const known = brokenRequest(code);
  const { status } = known.entry;
  const body = JSON.stringify(errorBody(known));
  socket.end(
    `HTTP/1.1 ${status} ${REASONS[status]}\r\ncontent-type: application/json\r\nconnection: close\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}

function brokenRequest(code: string | undefined): OctavoError {
  if (code === 'HPE_HEADER_OVERFLOW') {
    return new OctavoError('headers_too_large', 'the headers are too large');
  }
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    return new OctavoError('request_timeout', 'the request did not arrive in time');
  }
  return new OctavoError('invalid_request', 'the request is not valid HTTP');
}
