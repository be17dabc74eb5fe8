import type { IncomingHttpHeaders } from 'node:http';
import { clip } from '../../engine/clip.js';
import { OctavoError } from '../../engine/errors.js';

/**
 * A body that is packed would be parsed as it stands, or fail in a way that nobody understands.
 *
 * @throws OctavoError `unsupported_media_type`
 */
export function assertPlainBody(headers: IncomingHttpHeaders): void {
  const encoding = headers['content-encoding']?.trim().toLowerCase() ?? 'identity';
  if (encoding === 'identity' || encoding === '') return;
  const message = `content-encoding: ${clip(encoding)} is not read; send the body as it is (identity)`;
  throw new OctavoError('unsupported_media_type', message);
}
