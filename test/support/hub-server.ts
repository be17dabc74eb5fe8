import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What a request of the hub or its storage is answered with instead. */
export type Fault = (
  response: ServerResponse,
  asked: { readonly bytes: Buffer; readonly from: number },
) => void;

export interface SeenRequest {
  readonly method: string;
  /** `hub` or `cdn`, and the path. */
  readonly url: string;
  readonly authorization: string | null;
  readonly range: string | null;
}

export interface HubRepository {
  readonly commit: string;
  readonly files: ReadonlyMap<string, Buffer>;
  /** Names of the commit besides itself. */
  readonly revisions?: readonly string[];
  /**
   * Only this token may read it: of a private one nothing is told, of a gated one what files there
   * are.
   */
  readonly only?: { readonly token: string; readonly kind: 'private' | 'gated' };
  /** Where it was before: the hub redirects from there. */
  readonly formerly?: string;
}

/**
 * The routes of huggingface.co that a download takes, with its ways: large files are redirected to
 * storage on another host, by a link that is signed for one request and refuses any Authorization,
 * as S3 does; `x-error-code` says why something is refused.
 */
export class HubServer {
  readonly requests: SeenRequest[] = [];
  readonly url: string;
  readonly cdnUrl: string;
  readonly #servers: readonly Server[];
  readonly #repositories: ReadonlyMap<string, HubRepository>;
  readonly #faults: { readonly pattern: RegExp; readonly fault: Fault; times: number }[] = [];

  private constructor(
    hub: Server,
    cdn: Server,
    repositories: Readonly<Record<string, HubRepository>>,
  ) {
    this.#servers = [hub, cdn];
    this.#repositories = new Map(Object.entries(repositories));
    this.url = `http://127.0.0.1:${(hub.address() as AddressInfo).port}`;
    this.cdnUrl = `http://localhost:${(cdn.address() as AddressInfo).port}`;
    hub.on('request', (request, response) => this.#take('hub', request, response));
    cdn.on('request', (request, response) => this.#take('cdn', request, response));
  }

  static async start(repositories: Readonly<Record<string, HubRepository>>): Promise<HubServer> {
    const [hub, cdn] = [createServer(), createServer()];
    await new Promise<void>((resolve) => hub.listen(0, '127.0.0.1', resolve));
    await new Promise<void>((resolve) => cdn.listen(0, 'localhost', resolve));
    return new HubServer(hub, cdn, repositories);
  }

  close(): void {
    for (const server of this.#servers) {
      server.closeAllConnections();
      server.close();
    }
  }

  /** Requests whose `METHOD host/path` matches meet a fault, as often as said. */
  break(pattern: RegExp, fault: Fault, times = Number.POSITIVE_INFINITY): void {
    this.#faults.push({ pattern, fault, times });
  }

  /** Those whose `METHOD host/path` matches. */
  seen(pattern: RegExp): SeenRequest[] {
    return this.requests.filter(({ method, url }) => pattern.test(`${method} ${url}`));
  }

  #take(host: 'hub' | 'cdn', request: IncomingMessage, response: ServerResponse): void {
    const { method = '', url = '', headers } = request;
    const seen = `${method} ${host}${url}`;
    const range = headers.range ?? null;
    const authorization = headers.authorization ?? null;
    this.requests.push({ method, url: `${host}${url}`, authorization, range });
    const bytes = this.#bytesOf(url);
    const from = Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0);
    for (const entry of this.#faults) {
      if (entry.times <= 0 || !entry.pattern.test(seen)) continue;
      entry.times -= 1;
      entry.fault(response, { bytes, from });
      return;
    }
    if (host === 'cdn') this.#store(response, bytes, from, authorization);
    else this.#hub(response, url, bytes, from, authorization);
  }

  #hub(
    response: ServerResponse,
    url: string,
    bytes: Buffer,
    from: number,
    authorization: string | null,
  ): void {
    const refuse = (status: number, code: string, message = code): void =>
      void response.writeHead(status, { 'x-error-code': code, 'x-error-message': message }).end();
    const [, route, name, revision, path] = PATH.exec(decodeURIComponent(url)) ?? [];
    const moved = [...this.#repositories].find(([, { formerly }]) => name && formerly === name);
    if (moved) {
      return void response.writeHead(307, { location: url.replace(name, moved[0]) }).end();
    }
    const repository = this.#repositories.get(name);
    const { token, kind } = repository?.only ?? {};
    const known = token === undefined || authorization === `Bearer ${token}`;
    const badToken = authorization !== null && authorization.includes('expired');
    if (badToken) return refuse(401, '', 'Invalid credentials in Authorization header');
    // The hub does not tell a stranger whether a private model exists.
    if (!repository || (!known && kind === 'private')) {
      return refuse(authorization === null ? 401 : 404, 'RepoNotFound', 'Repository not found');
    }
    const { commit, revisions = ['main'], files } = repository;
    if (revision !== commit && !revisions.includes(revision))
      return refuse(404, 'RevisionNotFound');
    if (route === 'api/models/') {
      const siblings = [...files].map(([rfilename, { length: size }]) => ({ rfilename, size }));
      const body = JSON.stringify({ id: name, sha: commit, siblings });
      return void response.writeHead(200, { 'content-type': 'application/json' }).end(body);
    }
    if (!known) return refuse(authorization === null ? 401 : 403, 'GatedRepo');
    if (!files.has(path)) return refuse(404, 'EntryNotFound');
    const tells = { 'x-repo-commit': commit, 'accept-ranges': 'bytes' };
    if (!isLarge(path)) {
      send(response, bytes, from, { ...tells, etag: `"${gitHash(bytes)}"` });
      return;
    }
    const sha = sha256(bytes);
    const body = 'Found. Redirecting to storage';
    response.writeHead(302, {
      ...tells,
      location: `${this.cdnUrl}/${sha}?signature=${this.requests.length}`,
      'x-linked-size': bytes.length,
      'x-linked-etag': `"${sha}"`,
      'content-length': body.length,
    });
    response.end(body);
  }

  #store(
    response: ServerResponse,
    bytes: Buffer,
    from: number,
    authorization: string | null,
  ): void {
    if (authorization !== null) response.writeHead(400).end('only one auth mechanism allowed');
    else send(response, bytes, from, { etag: '"storage-knows-no-hub"' });
  }

  #bytesOf(url: string): Buffer {
    const [, , name, , path] = PATH.exec(decodeURIComponent(url)) ?? [];
    const named = this.#repositories.get(name)?.files.get(path);
    if (named) return named;
    for (const { files } of this.#repositories.values()) {
      for (const bytes of files.values()) if (url.startsWith(`/${sha256(bytes)}?`)) return bytes;
    }
    return Buffer.alloc(0);
  }
}

/** `/api/models/owner/name/revision/<rev>`, `/owner/name/resolve/<rev>/<path>`. */
const PATH =
  /^\/(api\/models\/|)([^/]+\/[^/]+)\/(?:revision|resolve)\/([^/?]+(?:\/pr\/\d+)?)\/?(?:\?blobs=true$)?(.*)$/;

/** Which files git keeps as pointers, and storage as content. */
function isLarge(path: string): boolean {
  return /\.(onnx|gguf)$|_data/.test(path);
}

const hashes = new WeakMap<Buffer, string>();

function sha256(bytes: Buffer): string {
  const hash = hashes.get(bytes) ?? createHash('sha256').update(bytes).digest('hex');
  hashes.set(bytes, hash);
  return hash;
}

function gitHash(bytes: Buffer): string {
  return createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex');
}

/** A file from a byte on, as a server with ranges sends it. */
export function send(
  response: ServerResponse,
  bytes: Buffer,
  from: number,
  headers: Readonly<Record<string, string>> = {},
): void {
  if (from >= bytes.length && from > 0) {
    response.writeHead(416, { 'content-range': `bytes */${bytes.length}` }).end();
    return;
  }
  const rest = bytes.subarray(from);
  response.writeHead(from > 0 ? 206 : 200, {
    ...headers,
    'content-length': rest.length,
    ...(from > 0 && { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` }),
  });
  response.end(rest);
}
