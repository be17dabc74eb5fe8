import { mkdtemp, realpath, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { InferenceSession, Tensor } from 'onnxruntime-node';
import { OctavoError, reasonOf } from '../errors.js';
import { toFloat16 } from '../float16.js';
import { DEVICE_INPUT } from '../importer/emit/device-inputs.js';
import { type CacheShape, cacheFileBytes, type PagedGraph } from '../importer/emit/graph-cache.js';
import { noise } from '../noise.js';
import { take } from '../runner/tensors.js';
import { DeviceCache } from './device-cache.js';
import { createDeviceSession, type Provider, type SessionSettings } from './device-session.js';

/**
 * What of ONNX Runtime computes, and where its cache is: tensors that are fed, which it can copy
 * and read, or initializers of the graph, which attention alone reaches. Node's binding has tensors
 * on the device for WebGPU only.
 */
export interface DeviceForm {
  readonly provider: Provider;
  readonly cache: 'tensors' | 'initializers';
}

/** How ONNX Runtime says that memory is short. */
const NO_MEMORY = /allocat|out of memory/i;

/** A graph with paged attention in a session on a device, and the cache that it works on. */
export class PagedSession {
  readonly shape: CacheShape;
  /** Null where the cache is inside of the session, so that no block can be copied. */
  readonly cache: DeviceCache | null;
  readonly #graph: PagedGraph;
  readonly #session: InferenceSession;
  readonly #cacheFeeds: Readonly<Record<string, Tensor>>;
  #isDisposed = false;

  private constructor(
    graph: PagedGraph,
    session: InferenceSession,
    shape: CacheShape,
    cache: DeviceCache | null,
  ) {
    this.shape = shape;
    this.cache = cache;
    this.#graph = graph;
    this.#session = session;
    const slots = cache === null ? [] : shape.slots;
    this.#cacheFeeds = Object.fromEntries(
      slots.flatMap((_, slot) => [
        [DEVICE_INPUT.keyCache(slot), cache?.keys(slot)],
        [DEVICE_INPUT.valueCache(slot), cache?.values(slot)],
      ]),
    ) as Record<string, Tensor>;
  }

  /**
   * Allocates the cache, and loads the graph. Block 0 has random numbers, all others zeros.
   *
   * @throws OctavoError `device_unavailable` without a GPU, or when it does not hold the cache;
   *   `model_unsupported` when ONNX Runtime refuses the graph
   */
  static async open(
    graph: PagedGraph,
    shape: CacheShape,
    { provider, cache: place }: DeviceForm,
    settings: SessionSettings = {},
  ): Promise<PagedSession> {
    if (place === 'initializers') {
      const session = await sessionWithCache(graph, shape, provider, settings);
      return new PagedSession(graph, session, shape, null);
    }
    const cache = await DeviceCache.create(shape);
    try {
      await cache.write([0], [randomBlock(cache.bytesPerBlock)]);
      const { model, weightsDir } = graph.write(null);
      const session = await createDeviceSession(model, { ...settings, provider, weightsDir });
      return new PagedSession(graph, session, shape, cache);
    } catch (error) {
      await cache.dispose();
      throw error;
    }
  }

  /** @param tensors those that the graph takes, among others */
  async run(tensors: ReadonlyMap<string, Tensor>): Promise<ReadonlyMap<string, Tensor>> {
    const { inputs, outputs } = this.#graph;
    const feeds = Object.fromEntries(inputs.map((name) => [name, take(tensors, name)]));
    const results = await this.#session.run({ ...feeds, ...this.#cacheFeeds }, outputs);
    return new Map(Object.entries(results));
  }

  /** Idempotent. */
  async dispose(): Promise<void> {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    await this.#session.release();
    await this.cache?.dispose();
  }
}

/**
 * Numbers from -2 to 2 in float16: a past for the check of rows. (Over zeros, attention would
 * hardly depend on its queries.)
 */
function randomBlock(bytes: number): Uint8Array {
  const next = noise(1);
  const bits = Uint16Array.from({ length: bytes / 2 }, () => toFloat16(2 * next()));
  return new Uint8Array(bits.buffer);
}

/**
 * A session that has its cache inside. It is filled from a file of zeros, which has no bytes on
 * disk but those of block 0. (Of a file in memory, ONNX Runtime wants all other files there, too.)
 */
async function sessionWithCache(
  graph: PagedGraph,
  shape: CacheShape,
  provider: Provider,
  settings: SessionSettings,
): Promise<InferenceSession> {
  const directory = await mkdtemp(join(await realpath(tmpdir()), 'octavo-cache-'));
  try {
    const file = join(directory, 'cache');
    const bytes = cacheFileBytes(shape);
    await writeFile(file, randomBlock(bytes / shape.numBlocks));
    await truncate(file, bytes);
    const { model, weightsDir } = graph.write({ shape, file });
    return await createDeviceSession(model, { ...settings, provider, weightsDir });
  } catch (cause) {
    const reason = reasonOf(cause);
    if (!(cause instanceof OctavoError && NO_MEMORY.test(reason))) throw cause;
    throw new OctavoError(
      'device_unavailable',
      `the GPU does not hold weights and a KV cache of ${shape.numBlocks} blocks: ` +
        `lower --kv-cache-memory (${reason})`,
      { cause },
    );
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
