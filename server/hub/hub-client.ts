import { Agent, type Dispatcher, EnvHttpProxyAgent, fetch, type Response } from 'undici';
import { OctavoError } from '../../engine/errors.js';
import { clip } from '../text/clip.js';
import type { HubId } from './hub-id.js';
import type { HubSettings } from './hub-settings.js';

/** Silence that ends a request; what is there of a file is kept, and the next request goes on behind it. */
const SILENCE_MS = 30_000;
const ATTEMPTS = 5;
const MAX_REDIRECTS = 5;
/** A server that asks to be left alone for longer is not waited for. */
const MAX_RETRY_AFTER_S = 60;

/** A revision's commit, and the paths of all of its files. */
export interface RepositoryListing {
  readonly commit: string;
  readonly files: ReadonlySet<string>;
}

/** What a file must be when it is here. */
export interface RemoteFile {
  readonly url: string;
  /** SHA-256 of the content for large files (64 hex digits), the id of the git blob for others (40): also its name in the cache. */
  readonly etag: string;
  readonly size: number;
}

export interface HubClientOptions {
  /** Waits between two attempts, in milliseconds. */
  readonly wait?: (ms: number) => Promise<void>;
  readonly silenceMs?: number;
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** The few routes of the hub that a download needs. Tokens go to the hub alone, never to where it redirects. */
export class HubClient {
  readonly #settings: HubSettings;
  readonly #id: HubId;
  readonly #dispatcher: Dispatcher;
  readonly wait: (ms: number) => Promise<void>;

  constructor(settings: HubSettings, id: HubId, options: HubClientOptions = {}) {
    this.#settings = settings;
    this.#id = id;
    this.wait = options.wait ?? sleep;
    const silence = options.silenceMs ?? SILENCE_MS;
    const limits = { headersTimeout: silence, bodyTimeout: silence, connect: { timeout: 10_000 } };
    const { env } = process;
    const proxied = [env['HTTPS_PROXY'], env['https_proxy'], env['HTTP_PROXY'], env['http_proxy']];
    this.#dispatcher = proxied.some(Boolean) ? new EnvHttpProxyAgent(limits) : new Agent(limits);
  }

  close(): Promise<void> {
    return this.#dispatcher.destroy();
  }

  /** @throws OctavoError `hub_*`: why the hub does not give it */
  async list(): Promise<RepositoryListing> {
    const { repo, revision } = this.#id;
    const url = `${this.#settings.endpoint}/api/models/${repo}/revision/${encodeURIComponent(revision)}`;
    const response = await this.#request(url, { method: 'GET' });
    const body: unknown = await response.json().catch(() => null);
    const { sha, siblings } = (body ?? {}) as { sha?: unknown; siblings?: unknown };
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
      const response = await this.#request(url, { method: 'HEAD' });
      const { headers } = response;
      const next = headers.get('location');
      const here = next !== null && new URL(next, url).origin === new URL(url).origin;
      // A renamed repository, on the hub itself. Where a file's storage is, its headers say nothing of the repository any more.
      if (here && headers.get('x-linked-etag') === null) {
        url = new URL(next, url).href;
        continue;
      }
      const etag = (headers.get('x-linked-etag') ?? headers.get('etag') ?? '').replace(
        /^W\/|"/g,
        '',
      );
      const size = headers.get('x-linked-size') ?? headers.get('content-length') ?? '';
      if (!/^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(etag) || !/^\d+$/.test(size)) {
        const what = `${url}: the hub names no hash or size of the file; it cannot be verified`;
        throw new OctavoError('hub_download_failed', what);
      }
      return { url, etag, size: Number(size) };
    }
    throw new OctavoError('hub_download_failed', `${url}: more than ${MAX_REDIRECTS} redirects`);
  }

  /**
   * A file's content from a byte on: status 206, or 200 with the whole file from a server that knows no ranges. One attempt; the caller
   * knows what it has got and asks for the rest.
   *
   * @throws OctavoError `hub_*` for an answer; anything else is the network
   */
  async open(file: RemoteFile, from: number): Promise<Response> {
    const range: Record<string, string> = from > 0 ? { range: `bytes=${from}-` } : {};
    // Compressed, neither ranges nor lengths would mean the file's bytes.
    const headers = { ...this.#headers(), ...range, 'accept-encoding': 'identity' };
    // Across origins, fetch drops the authorization.
    const response = await fetch(file.url, { headers, dispatcher: this.#dispatcher });
    if (response.ok) return response;
    await response.body?.cancel();
    if (isTemporary(response.status) || response.status === 416) return response;
    throw this.#refusal(response, file.url);
  }

  async #request(url: string, init: { method: 'GET' | 'HEAD' }): Promise<Response> {
    for (let attempt = 1; ; attempt++) {
      let reason: string;
      let pause = 500 * 2 ** (attempt - 1);
      try {
        const response = await fetch(url, {
          ...init,
          headers: { ...this.#headers(), 'accept-encoding': 'identity' },
          redirect: init.method === 'HEAD' ? 'manual' : 'follow',
          dispatcher: this.#dispatcher,
        });
        if (response.ok || (response.status >= 300 && response.status < 400)) return response;
        await response.body?.cancel();
        if (!isTemporary(response.status)) throw this.#refusal(response, url);
        reason = `status ${response.status}`;
        pause = Math.max(pause, retryAfterMs(response));
      } catch (error) {
        if (error instanceof OctavoError) throw error;
        reason = networkReason(error);
      }
      if (attempt >= ATTEMPTS || pause > MAX_RETRY_AFTER_S * 1000) {
        const tries = attempt === 1 ? 'one attempt' : `${attempt} attempts`;
        throw new OctavoError(
          'hub_unreachable',
          `${this.#settings.endpoint} gives no answer after ${tries}: ${reason}`,
        );
      }
      await this.wait(pause);
    }
  }

  #headers(): Record<string, string> {
    const { token } = this.#settings;
    return { 'user-agent': 'octavo', ...(token && { authorization: `Bearer ${token}` }) };
  }

  /** The hub says in `x-error-code` what its status alone does not: it hides private models behind 401. */
  #refusal(response: Response, url: string): OctavoError {
    const { endpoint, token } = this.#settings;
    const { repo, revision } = this.#id;
    const code = response.headers.get('x-error-code') ?? '';
    const { status } = response;
    if (code === 'GatedRepo' || (status === 403 && code === '')) {
      return new OctavoError(
        'hub_access_denied',
        `${repo}: access is restricted; accept its conditions at ${endpoint}/${repo} and set HF_TOKEN to a token of that account` +
          (token === null ? ' (no token is set)' : ' (the token that is set has no access)'),
      );
    }
    if (code === 'RevisionNotFound') {
      const what = `${repo}: no revision ${revision} at ${endpoint}; a branch, a tag or a commit is allowed`;
      return new OctavoError('hub_model_not_found', what);
    }
    if (status === 401 || status === 403) {
      const how =
        token === null
          ? 'if it is private, set HF_TOKEN'
          : 'or it is private and the token that is set has no access';
      const what = `${repo}: no such model at ${endpoint} for this user (status ${status}); ${how}`;
      return new OctavoError('hub_access_denied', what);
    }
    if (status === 404) {
      const missing = code === 'EntryNotFound' ? `no file ${url}` : `no such model at ${endpoint}`;
      return new OctavoError('hub_model_not_found', `${repo}: ${missing}`);
    }
    const said = clip(response.headers.get('x-error-message') ?? response.statusText);
    return new OctavoError('hub_download_failed', `${url}: status ${status} ${said}`.trim());
  }
}

function isTemporary(status: number): boolean {
  return status === 408 || status === 429 || status >= 500;
}

function retryAfterMs(response: Response): number {
  const seconds = Number(response.headers.get('retry-after') ?? 0);
  return Number.isFinite(seconds) ? seconds * 1000 : 0;
}

/** What undici hides behind "fetch failed". */
export function networkReason(error: unknown): string {
  const cause = error instanceof Error ? (error.cause ?? error) : error;
  if (!(cause instanceof Error)) return String(cause);
  return cause.message || ((cause as NodeJS.ErrnoException).code ?? cause.name);
}
