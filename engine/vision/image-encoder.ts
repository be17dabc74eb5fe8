import { createHash, hash } from 'node:crypto';
import { OctavoError } from '../errors.js';
import { type Asker, JobPool } from '../job-pool/job-pool.js';
import type { ThreadProgram } from '../job-pool/job-thread.js';
import type { EncodedImage } from './encode-image.js';
import { RowCache } from './row-cache.js';
import type { VisionResult, VisionThreadData, VisionWork } from './vision-jobs.js';
import type { VisionModel } from './vision-model.js';

/** A picture that a prompt may have. */
export interface KeyedImage extends EncodedImage {
  /** Identifies its bytes and how they become rows. */
  readonly key: string;
}

export interface ImageEncoderOptions {
  readonly threads: number;
  /** Of the rows that are kept for pictures that come again. */
  readonly cacheBytes: number;
  /** Of the decoder's hidden states. */
  readonly width: number;
  /** Layers of features that the decoder takes besides rows. */
  readonly numDeepstack: number;
}

/** Milliseconds for one picture. */
const BUDGET_MS = 120_000;
/** Of the pictures that wait. */
const MAX_WAITING_BYTES = 256 * 2 ** 20;

const NOBODY: Asker = { client: '', signal: new AbortController().signal };

/**
 * Pictures to rows: in a thread of its own, one after another, fairly between clients. Rows of
 * pictures that were seen before come from a cache, by the hash of their bytes.
 */
export class ImageEncoder {
  readonly model: VisionModel;
  readonly cache: RowCache;
  readonly #pool: JobPool<VisionWork, VisionResult>;
  readonly #identity: string;
  readonly #width: number;
  readonly #numDeepstack: number;
  #runs = 0;

  constructor(model: VisionModel, options: ImageEncoderOptions) {
    const { threads, cacheBytes, width, numDeepstack } = options;
    this.model = model;
    this.#width = width;
    this.#numDeepstack = numDeepstack;
    this.cache = new RowCache(cacheBytes);
    this.#identity = hash('sha256', JSON.stringify(model.settings), 'base64url');
    this.#pool = new JobPool(visionThread({ model, threads }), {
      maxThreads: 1,
      budgetMs: BUDGET_MS,
      maxWaitingBytes: MAX_WAITING_BYTES,
    });
  }

  /** Number of pictures that were encoded, not found in the cache. */
  get runs(): number {
    return this.#runs;
  }

  /** Loads the encoder now, so that a broken one is seen at start. @throws OctavoError why not */
  async load(): Promise<void> {
    await this.#pool.run({ bytes: null }, NOBODY);
  }

  /**
   * @throws OctavoError `invalid_request` for what is no picture, `overloaded` when too many wait
   * @throws the reason of the signal when it is aborted
   */
  async encode(bytes: Uint8Array, asker: Asker): Promise<KeyedImage> {
    const key = createHash('sha256').update(this.#identity).update(bytes).digest('base64url');
    const known = this.cache.get(key);
    if (known) return { ...known, key };
    const options = { ...asker, key, bytes: bytes.length };
    const image = await this.#pool.run({ bytes }, options);
    if (!image) throw new Error('the thread has encoded nothing');
    this.#runs += 1;
    if (image.width !== this.#width) {
      const what = `its rows have ${image.width} numbers, those of the decoder ${this.#width}`;
      throw new OctavoError('model_unsupported', `${this.model.file}: ${what}`);
    }
    if (image.deepstack.length !== this.#numDeepstack) {
      const what = `it gives features of ${image.deepstack.length} further layers, the decoder takes ${this.#numDeepstack}`;
      throw new OctavoError('model_unsupported', `${this.model.file}: ${what}`);
    }
    this.cache.set(key, image);
    return { ...image, key };
  }

  close(): Promise<void> {
    return this.#pool.close();
  }
}

const visionThread = (data: VisionThreadData): ThreadProgram<VisionWork> => ({
  file: new URL('./vision-thread.js', import.meta.url),
  data,
  maxHeapMb: 2048,
  does: 'encodes pictures',
  tooLarge: (_work, budget, sizes) =>
    new OctavoError(
      'invalid_request',
      `its encoding takes more than ${budget}${sizes === '' ? '' : ` (${sizes})`}`,
    ),
});
