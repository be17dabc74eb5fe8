import { randomUUID } from 'node:crypto';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { isIPv4, isIPv6 } from 'node:net';
import { clip } from '../../engine/clip.js';
import { OctavoError } from '../../engine/errors.js';

/** Names that a browser always resolves to this machine, without a name server. */
export function isLoopbackName(name: string): boolean {
  return (
    name === 'localhost' ||
    name.endsWith('.localhost') ||
    (isIPv4(name) && name.startsWith('127.')) ||
    name === '::1'
  );
}

/**
 * Creates the check of Host headers. A site can resolve its own name to this machine (DNS
 * rebinding), so that its pages can read our answers; only the name in the Host header reveals it.
 *
 * @param host where the server listens: on a loopback address, only loopback names are served
 * @param allowed further names, with `*.` in front for all names below, or `*` for any; given for
 *   another address, only they and loopback names are served
 * @returns a function that throws OctavoError `host_not_allowed`
 */
export function createHostCheck(
  host: string,
  allowed: readonly string[],
): (header: string | undefined) => void {
  const isLocal = isLoopbackName(nameOf(host));
  const names = new Set(allowed.map((name) => name.toLowerCase()));
  if (names.has('*') || (!isLocal && names.size === 0)) return () => undefined;
  const domains = [...names].flatMap((name) => (name.startsWith('*.') ? [name.slice(1)] : []));
  return (header) => {
    // HTTP/1.0 does not require one, and no browser uses it.
    if (header === undefined) return;
    const name = nameOf(header);
    if (isLoopbackName(name) || names.has(name)) return;
    if (domains.some((domain) => name.endsWith(domain))) return;
    const shown = clip(name);
    const served = isLocal ? 'on a loopback address serves loopback names' : 'serves its own names';
    const message = `the host ${shown} is not served: a server ${served} only; --allowed-hosts ${shown} allows it`;
    throw new OctavoError('host_not_allowed', message);
  };
}

/** Without the port, in lower case; an IPv6 address without brackets. */
function nameOf(host: string): string {
  const name = host.toLowerCase().trim();
  if (isIPv6(name)) return name;
  const bracketed = /^\[([^\]]*)\](?::\d*)?$/.exec(name);
  return bracketed?.[1] ?? name.replace(/:\d*$/, '').replace(/\.$/, '');
}

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

/**
 * A compressed body would be parsed as is, or fail with an unrelated error.
 *
 * @throws OctavoError `unsupported_media_type`
 */
export function assertPlainBody(headers: IncomingHttpHeaders): void {
  const encoding = headers['content-encoding']?.trim().toLowerCase() ?? 'identity';
  if (encoding === 'identity' || encoding === '') return;
  const message = `content-encoding: ${clip(encoding)} is not read; send the body as it is (identity)`;
  throw new OctavoError('unsupported_media_type', message);
}

/** The client's `x-request-id` if it is harmless in a header and a log line, or a new one. */
export function requestId(request: IncomingMessage): string {
  const given = request.headers['x-request-id'];
  if (typeof given === 'string' && /^[\w.:/+=@-]{1,128}$/.test(given)) return given;
  return randomUUID();
}
