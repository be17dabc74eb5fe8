import { lookup } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { Agent, request } from 'undici';
import { clip } from '../clip.js';
import { OctavoError } from '../errors.js';

/** Of a picture that is fetched. */
const MAX_BYTES = 20 * 2 ** 20;
/** Milliseconds until all of it is there. */
const TIMEOUT_MS = 5000;
const MAX_REDIRECTS = 3;

export interface LoadOptions {
  /** Hosts from which pictures may be fetched; empty: none are fetched. */
  readonly allowedDomains: readonly string[];
  /** For tests: resolves names without looking at what they resolve to. */
  readonly lookup?: LookupFunction;
}

/**
 * The bytes behind an image's URL: in the URL itself (`data:`), or on a host that the operator
 * allows. A name that leads to an address of a private network is refused, for an allowed host may
 * be someone else's.
 *
 * @throws OctavoError `invalid_request`: what is wrong with the URL, or with what it leads to
 */
export async function loadBytes(
  url: string,
  options: LoadOptions,
  signal: AbortSignal,
): Promise<Uint8Array> {
  if (/^data:/i.test(url)) return fromDataUrl(url);
  let place = parsed(url);
  const dispatcher = new Agent({ connect: { lookup: options.lookup ?? publicLookup } });
  const patience = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]);
  try {
    for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
      assertAllowed(place, options);
      const answer = await request(place, { dispatcher, signal: patience });
      const { location } = answer.headers;
      if (answer.statusCode >= 300 && answer.statusCode < 400 && typeof location === 'string') {
        await answer.body.dump();
        place = parsed(new URL(location, place).href);
        continue;
      }
      if (answer.statusCode !== 200) {
        throw invalid(`${place.host} answers with status ${answer.statusCode}`);
      }
      return await bounded(answer.body);
    }
    throw invalid(`more than ${MAX_REDIRECTS} redirects`);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof OctavoError) throw error;
    if (patience.aborted) throw invalid(`${place.host} takes more than ${TIMEOUT_MS / 1000} s`);
    const reason = error instanceof Error ? error.message : String(error);
    throw invalid(`it cannot be fetched from ${place.host}: ${clip(reason)}`, error);
  } finally {
    await dispatcher.destroy();
  }
}

function fromDataUrl(url: string): Uint8Array {
  const comma = url.indexOf(',');
  const head = url.slice(0, Math.min(comma, 200));
  if (comma < 0 || !/;base64$/i.test(head)) {
    throw invalid('its data URL must be data:image/...;base64,...');
  }
  const text = url.slice(comma + 1);
  const bytes = Buffer.from(text, 'base64');
  // Node.js stops at what is no base64, and says nothing.
  const length = text.replace(/[\s=]+$/, '').length;
  if (bytes.length === 0 || bytes.length !== Math.floor((length * 3) / 4)) {
    throw invalid('the data of its URL are not base64');
  }
  return bytes;
}

function parsed(url: string): URL {
  const place = URL.canParse(url) ? new URL(url) : null;
  if (place && ['http:', 'https:'].includes(place.protocol)) return place;
  throw invalid(`its URL must begin with data:, https:// or http://, not ${clip(url)}`);
}

function assertAllowed({ hostname, username }: URL, { allowedDomains }: LoadOptions): void {
  if (allowedDomains.length === 0) {
    throw invalid(
      'pictures are not fetched: send it as a data URL (data:image/png;base64,...), or start the server with --allowed-media-domains',
    );
  }
  if (!allowedDomains.includes(hostname) || username !== '') {
    throw invalid(`pictures are not fetched from ${clip(hostname)} (--allowed-media-domains)`);
  }
  if (isIP(hostname.replace(/^\[|\]$/g, '')) !== 0) {
    throw invalid('pictures are fetched from hosts with names, not from addresses');
  }
}

async function bounded(body: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of body) {
    length += piece.length;
    if (length > MAX_BYTES) throw invalid(`it has more than ${MAX_BYTES / 2 ** 20} MiB`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

/** Networks that are not the internet (IANA's registries of special-purpose addresses). */
const PRIVATE = new BlockList();
for (const [network, bits] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['224.0.0.0', 3],
] as const) {
  PRIVATE.addSubnet(network, bits, 'ipv4');
}
/** Of IPv6, only what is given out as global unicast is the internet. */
const GLOBAL_V6 = new BlockList();
GLOBAL_V6.addSubnet('2000::', 3, 'ipv6');
/** Inside of it: addresses of IPv4, and documentation. */
for (const [network, bits] of [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
] as const) {
  PRIVATE.addSubnet(network, bits, 'ipv6');
}

/** Whether an address is one of the internet. */
export function isPublic(address: string): boolean {
  const family = isIP(address) === 4 ? 'ipv4' : 'ipv6';
  if (PRIVATE.check(address, family)) return false;
  return family === 'ipv4' || GLOBAL_V6.check(address, 'ipv6');
}

/**
 * Resolves names for the connection itself, so that what is checked is what is connected to: a
 * second look-up could give another address.
 */
const publicLookup: LookupFunction = (hostname, options, callback) => {
  lookup(hostname, { ...options, all: true }, (error, addresses) => {
    if (error) return callback(error, '', 0);
    const found = addresses.filter(({ address }) => isPublic(address));
    const [first] = found;
    if (!first) {
      const refusal = new Error(`${hostname} has no address outside of private networks`);
      return callback(refusal, '', 0);
    }
    if (options.all) callback(null, found);
    else callback(null, first.address, first.family);
  });
};

function invalid(message: string, cause?: unknown): OctavoError {
  return new OctavoError('invalid_request', message, { cause });
}
