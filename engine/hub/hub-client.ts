import { type Dispatcher, fetch, type Response } from 'undici';
import { OctavoError } from '../errors.js';
import { hubDispatcher } from './hub-dispatcher.js';
import type { HubId } from './hub-id.js';
import { hubRefusal } from './hub-refusal.js';
import type { HubSettings } from './hub-settings.js';
import { askedDelayMs, delayMs, isTemporary, MAX_DELAY_MS } from './retry-delay.js';

/**
 * Silence that ends a request; what is there of a file is kept, and the next request goes on behind
 * it.
 */
const SILENCE_MS = 30_000;
const ATTEMPTS = 5;
const MAX_REDIRECTS = 5;

/** A revision's commit, and the paths of all of its files. */
export interface RepositoryListing {
  readonly commit: string;
  readonly files: ReadonlySet<string>;
}

/** What a file must be when it is here. */
export interface RemoteFile {
  readonly url: string;
  /**
   * SHA-256 of the content for large files (64 hex digits), the id of the git blob for others (40):
   * also its name in the cache.
   */
  readonly etag: string;
  readonly size: number;
}

export interface HubClientOptions {
  /** Waits between two attempts, in milliseconds. */
  readonly wait?: (ms: number) => Promise<void>;
  readonly silenceMs?: number;
}

/** A file's bytes, or why they do not come now and how long the server wants to be left alone. */
export type OpenedFile =
  | { readonly response: Response }
  | { readonly reason: string; readonly status: number; readonly askedMs: number };

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * The few routes of the hub that a download needs. Tokens go to the hub alone, never to where it
 * redirects.
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
   * @param attempts how often a hub that does not answer is asked
   * @throws OctavoError `hub_*`: why the hub does not give it
   */
  async list(attempts = ATTEMPTS): Promise<RepositoryListing> {
    const { repo, revision } = this.#id;
    const url = `${this.#settings.endpoint}/api/models/${repo}/revision/${encodeURIComponent(revision)}`;
    const { text } = await this.#request('GET', url, attempts);
    const { sha, siblings } = (parsed(text) ?? {}) as { sha?: unknown; siblings?: unknown };
    if (typeof sha !== 'string' || !/^[0-9a-f]{40}$/.test(sha) || !Array.isArray(siblings)) {
      const what = `${url}: the answer is not that of a model hub; is HF_ENDPOINT right?`;
      throw new OctavoError('hub_download_failed', what);
    }
    const names = siblings.map((entry) => (entry as { rfilename?: unknown } | null)?.rfilename);
    return { commit: sha, files: new Set(names.filter((name) => typeof name === 'string')) };
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
      // A renamed repository, or a mirror that sends on. Where a file's storage is, nothing tells
      // of the repository any more.
      if (next !== null && linked === null) {
        url = next;
        continue;
      }
      const etag = (linked ?? headers.get('etag') ?? '').replace(/^W\/|"/g, '');
      // The length of a redirect is that of its own text.
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
   * A file's content from a byte on: status 206, or 200 with the whole file from a server that
   * knows no ranges. One attempt; the caller knows what it has got and asks for the rest.
   *
   * @throws OctavoError `hub_*` for an answer that will not change; anything else is the network
   */
  async open(file: RemoteFile, from: number): Promise<OpenedFile> {
    const range: Record<string, string> = from > 0 ? { range: `bytes=${from}-` } : {};
    const headers = { ...this.#headers(file.url), ...range };
    // Across origins, fetch drops the authorization.
    const response = await fetch(file.url, { headers, dispatcher: this.#dispatcher });
    if (response.ok) return { response };
    await response.body?.cancel();
    const { status } = response;
    // Storage refuses a link that has become too old; the hub makes a new one for each request.
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
        // A body that is cut off is one more reason to ask again.
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
      // Compressed, neither ranges nor lengths would mean the file's bytes.
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

/** Where a redirect leads; null for any other answer. */
function redirectOf(response: Response, url: string): string | null {
  const location = response.headers.get('location');
  if (response.ok || location === null || !URL.canParse(location, url)) return null;
  const next = new URL(location, url);
  return next.protocol === 'https:' || next.protocol === 'http:' ? next.href : null;
}

/** What undici hides behind "fetch failed", or deeper. */
export function networkReason(error: unknown): string {
  let cause = error;
  while (cause instanceof Error && cause.cause instanceof Error) cause = cause.cause;
  if (!(cause instanceof Error)) return String(cause);
  const tunnel = /^Proxy response \((\d+)\)/.exec(cause.message);
  if (tunnel) return `the proxy refuses a tunnel with status ${tunnel[1]}`;
  return cause.message || ((cause as NodeJS.ErrnoException).code ?? cause.name);
}
