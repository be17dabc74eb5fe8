import { Agent, type Dispatcher, EnvHttpProxyAgent, fetch, type Response } from 'undici';
import { OctavoError } from '../errors.js';
import type { HubId } from './hub-id.js';
import { hubRefusal } from './hub-refusal.js';
import type { HubSettings, ProxySettings } from './hub-settings.js';
import { askedDelayMs, delayMs, isTemporary, MAX_DELAY_MS } from './retry-delay.js';

/**
 * Milliseconds without data after which a request is ended. The part of the file is kept, and the
 * next request resumes after it.
 */
const SILENCE_MS = 30_000;
const CONNECT_MS = 10_000;
const ATTEMPTS = 5;
const MAX_REDIRECTS = 5;

/** A revision's commit, and the paths of all its files. */
export interface RepositoryListing {
  readonly commit: string;
  readonly files: ReadonlySet<string>;
  /** In bytes; of files whose size the hub states. */
  readonly sizes: ReadonlyMap<string, number>;
}

/** Properties by which a downloaded file is verified. */
export interface RemoteFile {
  readonly url: string;
  /**
   * SHA-256 of the content for large files (64 hex digits), the git blob's id for others (40
   * digits). It is also the file's name in the cache.
   */
  readonly etag: string;
  readonly size: number;
}

export interface HubClientOptions {
  /** Waits between two attempts. */
  readonly wait?: (ms: number) => Promise<void>;
  readonly silenceMs?: number;
}

/** A file's bytes, or why they are not available now and the delay that the server asks for. */
export type OpenedFile =
  | { readonly response: Response }
  | { readonly reason: string; readonly status: number; readonly askedMs: number };

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * The few routes of the hub that a download needs. Tokens are sent to the hub only, never to
 * targets of its redirects.
 */
export class HubClient {
  readonly #settings: HubSettings;
  readonly #id: HubId;
  readonly #dispatcher: Dispatcher;
  readonly wait: (ms: number) => Promise<void>;

  constructor(settings: HubSettings, id: HubId, options: HubClientOptions = {}) {
    this.#settings = settings;
    this.#id = id;
    this.wait = options.wait ?? sleep;
    this.#dispatcher = hubDispatcher(settings.proxies, options.silenceMs ?? SILENCE_MS);
  }

  close(): Promise<void> {
    return this.#dispatcher.destroy();
  }

  /**
   * @param attempts number of attempts when the hub does not answer
   * @throws OctavoError `hub_*`: says why the hub refuses
   */
  async list(attempts = ATTEMPTS): Promise<RepositoryListing> {
    const { repo, revision } = this.#id;
    const url = `${this.#settings.endpoint}/api/models/${repo}/revision/${encodeURIComponent(revision)}?blobs=true`;
    const { text } = await this.#request('GET', url, attempts);
    const { sha, siblings } = (parsed(text) ?? {}) as { sha?: unknown; siblings?: unknown };
    if (typeof sha !== 'string' || !/^[0-9a-f]{40}$/.test(sha) || !Array.isArray(siblings)) {
      const what = `${url}: the answer is not that of a model hub; is HF_ENDPOINT right?`;
      throw new OctavoError('hub_download_failed', what);
    }
    const sizes = new Map<string, number>();
    const files = new Set<string>();
    for (const entry of siblings as ({ rfilename?: unknown; size?: unknown } | null)[]) {
      if (typeof entry?.rfilename !== 'string') continue;
      files.add(entry.rfilename);
      if (typeof entry.size === 'number') sizes.set(entry.rfilename, entry.size);
    }
    return { commit: sha, files, sizes };
  }

  /** @throws OctavoError `hub_*` */
  async describe(commit: string, path: string): Promise<RemoteFile> {
    const encoded = path.split('/').map(encodeURIComponent).join('/');
    let url = `${this.#settings.endpoint}/${this.#id.repo}/resolve/${commit}/${encoded}`;
    for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
      const { response } = await this.#request('HEAD', url, ATTEMPTS);
      const { headers } = response;
      const linked = headers.get('x-linked-etag');
      const next = redirectOf(response, url);
      // Follows redirects of a renamed repository or a mirror. A redirect to the file's storage no
      // longer carries the repository's headers.
      if (next !== null && linked === null) {
        url = next;
        continue;
      }
      const etag = (linked ?? headers.get('etag') ?? '').replace(/^W\/|"/g, '');
      // The content length of a redirect is that of its own body.
      const size = headers.get('x-linked-size') ?? (next === null && headers.get('content-length'));
      if (!/^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(etag) || !/^\d+$/.test(size || '')) {
        const what = `${url}: the hub names no hash or size of the file; it cannot be verified`;
        throw new OctavoError('hub_download_failed', what);
      }
      return { url, etag, size: Number(size) };
    }
    throw new OctavoError('hub_download_failed', `${url}: more than ${MAX_REDIRECTS} redirects`);
  }

  /**
   * A file's content from a byte on: status 206, or 200 with the whole file from a server without
   * ranges. Makes one attempt; the caller asks for the rest.
   *
   * @throws OctavoError `hub_*` for an answer that will not change; other errors come from the
   *   network
   */
  async open(file: RemoteFile, from: number): Promise<OpenedFile> {
    const range: Record<string, string> = from > 0 ? { range: `bytes=${from}-` } : {};
    const headers = { ...this.#headers(file.url), ...range };
    // fetch removes the authorization when a redirect leaves the origin.
    const response = await fetch(file.url, { headers, dispatcher: this.#dispatcher });
    if (response.ok) return { response };
    await response.body?.cancel();
    const { status } = response;
    // Storage refuses expired links; the hub creates a new one for each request.
    const elsewhere = originOf(response.url) !== originOf(file.url);
    if (!elsewhere && !isTemporary(status) && status !== 416) {
      throw hubRefusal(response, file.url, this.#id, this.#settings);
    }
    const where = elsewhere ? ` from ${originOf(response.url)}` : '';
    const askedMs = askedDelayMs(response, Date.now());
    return { reason: `status ${status}${where}`, status, askedMs };
  }

  async #request(
    method: 'GET' | 'HEAD',
    url: string,
    attempts: number,
  ): Promise<{ readonly response: Response; readonly text: string }> {
    for (let attempt = 1; ; attempt++) {
      let reason: string;
      let askedMs = 0;
      try {
        const response = await fetch(url, {
          method,
          headers: this.#headers(url),
          redirect: method === 'HEAD' ? 'manual' : 'follow',
          dispatcher: this.#dispatcher,
        });
        // A truncated body is another reason to retry.
        const text = await response.text();
        if (response.ok || (response.status >= 300 && response.status < 400)) {
          return { response, text };
        }
        if (!isTemporary(response.status)) {
          throw hubRefusal(response, url, this.#id, this.#settings);
        }
        reason = `status ${response.status}`;
        askedMs = askedDelayMs(response, Date.now());
      } catch (error) {
        if (error instanceof OctavoError) throw error;
        reason = networkReason(error);
      }
      if (attempt >= attempts || askedMs > MAX_DELAY_MS) {
        const tries = attempt === 1 ? 'one attempt' : `${attempt} attempts`;
        const later = askedMs > 0 ? `; it asks to wait ${Math.ceil(askedMs / 1000)} s` : '';
        const what = `${this.#settings.endpoint} gives no answer after ${tries}: ${reason}${later}`;
        throw new OctavoError('hub_unreachable', what);
      }
      await this.wait(delayMs(attempt, askedMs));
    }
  }

  #headers(url: string): Record<string, string> {
    const { token, endpoint } = this.#settings;
    const known = token !== null && originOf(url) === originOf(endpoint);
    return {
      'user-agent': 'octavo',
      // With compression, ranges and lengths would not refer to the file's bytes.
      'accept-encoding': 'identity',
      ...(known && { authorization: `Bearer ${token.value}` }),
    };
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function originOf(url: string): string {
  return new URL(url).origin;
}

/** Target of a redirect; null for any other answer. */
function redirectOf(response: Response, url: string): string | null {
  const location = response.headers.get('location');
  if (response.ok || location === null || !URL.canParse(location, url)) return null;
  const next = new URL(location, url);
  return next.protocol === 'https:' || next.protocol === 'http:' ? next.href : null;
}

/** The cause that undici wraps in "fetch failed", at any depth. */
export function networkReason(error: unknown): string {
  let cause = error;
  while (cause instanceof Error && cause.cause instanceof Error) cause = cause.cause;
  if (!(cause instanceof Error)) return String(cause);
  const tunnel = /^Proxy response \((\d+)\)/.exec(cause.message);
  if (tunnel) return `the proxy refuses a tunnel with status ${tunnel[1]}`;
  return cause.message || ((cause as NodeJS.ErrnoException).code ?? cause.name);
}

/** @param silenceMs milliseconds that a connection may stay without data */
function hubDispatcher(proxies: ProxySettings, silenceMs: number): Dispatcher {
  const limits = {
    headersTimeout: silenceMs,
    bodyTimeout: silenceMs,
    connect: { timeout: CONNECT_MS },
  };
  if (proxies.httpProxy === '' && proxies.httpsProxy === '') return new Agent(limits);
  // Plain http is forwarded, not tunneled: many proxies tunnel only to port 443.
  return new EnvHttpProxyAgent({ ...limits, ...proxies, proxyTunnel: false });
}
