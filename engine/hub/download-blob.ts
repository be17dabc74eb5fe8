import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, mkdir, open, rename, rm, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { OctavoError } from '../errors.js';
import { type HubClient, networkReason, type RemoteFile } from './hub-client.js';
import { claimPartial, type Owner } from './partial-file.js';
import { isFile } from './repository-cache.js';
import { delayMs, MAX_DELAY_MS } from './retry-delay.js';

/** Consecutive requests without progress after which a download is given up. */
const FRUITLESS = 5;
const POLL_MS = 500;

export interface DownloadObserver {
  /** Receives the bytes downloaded so far, and in total. */
  progress(done: number, total: number): void;
  /** Called once when another process downloads the same file and this one waits. */
  waiting(): void;
}

/** Why a request ended before its file did, and the delay that the server asks for. */
interface Interruption {
  readonly reason: string;
  readonly askedMs: number;
}

/**
 * Downloads a file to `blob`, complete and verified. Resumes an earlier attempt of this process or
 * a dead one; waits when another process downloads the same file.
 *
 * @throws OctavoError `hub_*`; the part received so far is kept for the next attempt, unless it is
 *   damaged
 */
export async function downloadBlob(
  client: HubClient,
  file: RemoteFile,
  blob: string,
  owner: Owner,
  observer: DownloadObserver,
): Promise<void> {
  try {
    await mkdir(dirname(blob), { recursive: true });
    for (let polls = 0; !(await isFile(blob)); polls++) {
      const partial = await claimPartial(blob, owner, client.wait);
      if (partial !== null) {
        // Another process may have finished between the two checks.
        if (await isFile(blob)) return await rm(partial, { force: true });
        return await complete(client, file, partial, blob, observer);
      }
      if (polls === 0) observer.waiting();
      await client.wait(POLL_MS);
    }
  } catch (error) {
    throw diskError(error, blob) ?? error;
  }
}

async function complete(
  client: HubClient,
  file: RemoteFile,
  partial: string,
  blob: string,
  observer: DownloadObserver,
): Promise<void> {
  const handle = await open(partial, 'r+');
  try {
    const { size } = await handle.stat();
    await checkSpace(blob, file.size - size);
    const download = new Download(client, file, handle, observer);
    await download.resumeAt(size <= file.size ? size : 0, partial);
    const resumed = download.received > 0;
    await download.run();
    // The resumed part may have been damaged, so the download starts once more from the beginning.
    // If it fails again, the hub's content is wrong.
    if (!download.isRight && resumed) {
      await download.resumeAt(0, partial);
      await download.run();
    }
    if (!download.isRight) {
      await rm(partial, { force: true });
      throw new OctavoError(
        'hub_download_failed',
        `${file.url}: its content has another hash than the hub says (${file.etag}); nothing of it was kept`,
      );
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(partial, blob);
}

/** Writes a file's bytes to disk, and hashes all that were received so far. */
class Download {
  readonly #client: HubClient;
  readonly #file: RemoteFile;
  readonly #handle: FileHandle;
  readonly #observer: DownloadObserver;
  #hash: Hash;
  #received = 0;

  constructor(client: HubClient, file: RemoteFile, handle: FileHandle, observer: DownloadObserver) {
    this.#client = client;
    this.#file = file;
    this.#handle = handle;
    this.#observer = observer;
    this.#hash = newHash(file);
  }

  get received(): number {
    return this.#received;
  }

  get isRight(): boolean {
    return this.#hash.copy().digest('hex') === this.#file.etag;
  }

  /** Treats the first `size` bytes of the partial file as received. */
  async resumeAt(size: number, partial: string): Promise<void> {
    await this.#handle.truncate(size);
    this.#hash = newHash(this.#file);
    this.#received = 0;
    if (size === 0) return;
    for await (const chunk of createReadStream(partial, { end: size - 1 })) {
      this.#hash.update(chunk as Buffer);
      this.#received += (chunk as Buffer).length;
    }
  }

  /** Runs until all bytes are received. */
  async run(): Promise<void> {
    const { size, url } = this.#file;
    // A server without ranges starts over each time, so only bytes beyond the furthest position
    // count as progress.
    let furthest = this.#received;
    let fruitless = 0;
    this.#observer.progress(this.#received, size);
    while (this.#received < size) {
      const { reason, askedMs } = await this.#attempt();
      if (this.#received === size) return;
      fruitless = this.#received > furthest ? 0 : fruitless + 1;
      furthest = Math.max(furthest, this.#received);
      if (fruitless >= FRUITLESS || askedMs > MAX_DELAY_MS) {
        const later = askedMs > 0 ? `, and asks to wait ${Math.ceil(askedMs / 1000)} s` : '';
        throw new OctavoError(
          'hub_unreachable',
          `${url}: the download stops at ${this.#received} of ${size} bytes: ${reason}${later}; start again to go on from there`,
        );
      }
      await this.#touch();
      await this.#client.wait(delayMs(fruitless + 1, askedMs));
    }
  }

  async #attempt(): Promise<Interruption> {
    try {
      const opened = await this.#client.open(this.#file, this.#received);
      if (!('response' in opened)) {
        // The server has no bytes after the partial file: the partial file is of something else.
        if (opened.status === 416) await this.#startAgain();
        return opened;
      }
      const { response } = opened;
      if (response.status !== 206) await this.#startAgain();
      this.#checkRange(response.headers.get('content-range'), response.headers);
      for await (const chunk of response.body ?? []) await this.#take(chunk as Uint8Array);
      return { reason: 'the connection ended', askedMs: 0 };
    } catch (error) {
      // A disk error will occur again next time.
      if (error instanceof OctavoError || isDiskError(error)) throw error;
      return { reason: networkReason(error), askedMs: 0 };
    }
  }

  /** Other processes see from a partial file's time that its process is running. */
  async #touch(): Promise<void> {
    const now = new Date();
    await this.#handle.utimes(now, now);
  }

  async #startAgain(): Promise<void> {
    await this.#handle.truncate(0);
    this.#hash = newHash(this.#file);
    this.#received = 0;
  }

  #checkRange(range: string | null, headers: { get(name: string): string | null }): void {
    const sent =
      range === null
        ? { from: 0, size: headers.get('content-length') }
        : { from: Number(/^bytes (\d+)-/.exec(range)?.[1]), size: /\/(\d+)$/.exec(range)?.[1] };
    const whole = sent.size === null || sent.size === undefined ? null : Number(sent.size);
    if (sent.from === this.#received && (whole === null || whole === this.#file.size)) return;
    throw this.#wrongSize(`${whole} bytes from byte ${sent.from}`);
  }

  async #take(chunk: Uint8Array): Promise<void> {
    if (this.#received + chunk.length > this.#file.size) throw this.#wrongSize('more');
    await this.#handle.write(chunk, 0, chunk.length, this.#received);
    this.#hash.update(chunk);
    this.#received += chunk.length;
    this.#observer.progress(this.#received, this.#file.size);
  }

  #wrongSize(what: string): OctavoError {
    const { url, size } = this.#file;
    return new OctavoError(
      'hub_download_failed',
      `${url}: the hub says ${size} bytes, but sends ${what}`,
    );
  }
}

/** For large files, the hub states the SHA-256; for others, git's id of the content. */
function newHash({ etag, size }: RemoteFile): Hash {
  if (etag.length === 64) return createHash('sha256');
  return createHash('sha1').update(`blob ${size}\0`);
}

async function checkSpace(blob: string, needed: number): Promise<void> {
  const { bavail, bsize } = await statfs(dirname(blob));
  if (needed > bavail * bsize) throw noSpace(blob, `${needed} bytes more are needed`);
}

function isDiskError(error: unknown): boolean {
  const { syscall } = error as NodeJS.ErrnoException;
  return syscall === 'write' || syscall === 'ftruncate' || syscall === 'futime';
}

function diskError(error: unknown, blob: string): OctavoError | null {
  const { code, syscall, path } = error as NodeJS.ErrnoException;
  if (code === 'ENOSPC' || code === 'EDQUOT') return noSpace(blob, code, error);
  if (syscall === undefined || (path === undefined && !isDiskError(error))) return null;
  const what = `the cache cannot be written: ${(error as Error).message}; HF_HUB_CACHE or HF_HOME name another`;
  return new OctavoError('hub_download_failed', what, { cause: error });
}

function noSpace(blob: string, what: string, cause?: unknown): OctavoError {
  return new OctavoError(
    'hub_download_failed',
    `${dirname(blob)}: the disk is full (${what}); free some space, or move the cache with HF_HOME`,
    { cause },
  );
}
