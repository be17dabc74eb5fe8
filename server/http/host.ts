import type { IncomingMessage } from 'node:http';
import { OctavoError } from '../../engine/errors.js';

/**
 * HTTP/1.1 wants one Host header: two readers may take different ones of several.
 *
 * @throws OctavoError `invalid_request`
 */
export function assertOneHost({ rawHeaders, httpVersion }: IncomingMessage): void {
  const hosts = rawHeaders.filter((name, i) => i % 2 === 0 && /^host$/i.test(name)).length;
  if (hosts === 1 || (hosts === 0 && httpVersion === '1.0')) return;
  throw new OctavoError('invalid_request', `a request has one Host header; this one has ${hosts}`);
}
