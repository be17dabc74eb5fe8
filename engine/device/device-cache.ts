import { type InferenceSession, Tensor } from 'onnxruntime-node';
import type { BlockCopy } from '../../kvcache/kv-cache-config.js';
import { OctavoError, reasonOf } from '../errors.js';
import type { CacheShape } from '../importer/emit/graph-cache.js';
import { int64 } from '../runner/step-batch.js';
import type { BlockTransfer } from '../tiers/block-transfer.js';
import { allocationGraph, copyGraph, readGraph, writeGraph } from './block-graphs.js';
import { bytesOf, float16Tensor, fromBlocks, toBlocks } from './block-tensors.js';
import { createDeviceSession } from './device-session.js';

/** What one call copies lies in the device's memory twice, and in the host's, for a moment. */
const MAX_COPY_BYTES = 64 * 2 ** 20;

/** Bytes of a float16. */
const ELEMENT_BYTES = 2;

interface Sessions {
  readonly allocate: InferenceSession;
  readonly copy: InferenceSession;
  readonly read: InferenceSession;
  readonly write: InferenceSession;
}

/**
 * The KV cache in a device's memory: for each slot, keys and values as
 * `[numBlocks, blockSize, numKvHeads, headSize]` in float16. It is allocated once; steps and copies
 * write it in place, and nothing of it comes to the host but blocks that are read.
 *
 * One call at a time, between two steps, in the thread that created it.
 */
export class DeviceCache implements BlockTransfer {
  readonly config: CacheShape;
  /** Bytes of a block in all slots: for each its keys, then its values. */
  readonly bytesPerBlock: number;
  readonly #sessions: Sessions;
  /** Keys and values of slot 0, of slot 1, ... */
  readonly #tensors: readonly Tensor[];
  readonly #feeds: Readonly<Record<string, Tensor>>;
  readonly #written: Readonly<Record<string, Tensor>>;
  readonly #blocksPerCall: number;
  #isDisposed = false;

  private constructor(
    config: CacheShape,
    sessions: Sessions,
    tensors: readonly Tensor[],
    maxCopyBytes: number,
  ) {
    this.config = config;
    this.#sessions = sessions;
    this.#tensors = tensors;
    this.bytesPerBlock = this.#partBytes().reduce((sum, bytes) => sum + bytes, 0);
    this.#blocksPerCall = Math.max(1, Math.floor(maxCopyBytes / this.bytesPerBlock));
    const named = (name: string): Record<string, Tensor> =>
      Object.fromEntries(tensors.map((tensor, i) => [`${name}.${i}`, tensor]));
    this.#feeds = named('cache');
    this.#written = named('written');
  }

  /**
   * Allocates the whole cache, filled with zeros, and writes and reads its first and last block:
   * WebGPU does not tell how much memory a device has.
   *
   * @param maxCopyBytes bytes that one call to the device reads or writes, at most; for tests
   * @throws OctavoError `device_unavailable` without a GPU, or when it does not hold the cache
   */
  static async create(config: CacheShape, maxCopyBytes = MAX_COPY_BYTES): Promise<DeviceCache> {
    const count = 2 * config.slots.length;
    const sessions = {
      allocate: await createDeviceSession(allocationGraph(), { outputsOnDevice: true }),
      copy: await createDeviceSession(copyGraph(count)),
      read: await createDeviceSession(readGraph(count)),
      write: await createDeviceSession(writeGraph(count)),
    };
    const tensors: Tensor[] = [];
    try {
      for (const { numKvHeads, headSize } of config.slots) {
        const dims = [config.numBlocks, config.blockSize, numKvHeads, headSize];
        const shape = new Tensor('int64', int64(dims), [dims.length]);
        tensors.push((await sessions.allocate.run({ shape })).cache);
        tensors.push((await sessions.allocate.run({ shape })).cache);
      }
      const cache = new DeviceCache(config, sessions, tensors, maxCopyBytes);
      await cache.#probe();
      return cache;
    } catch (cause) {
      await release(sessions, tensors);
      const bytes = config.slots.reduce(
        (n, { numKvHeads, headSize }) => n + 2 * numKvHeads * headSize * ELEMENT_BYTES,
        0,
      );
      const reason = reasonOf(cause);
      throw new OctavoError(
        'device_unavailable',
        `the GPU does not hold a KV cache of ${bytes * config.numBlocks * config.blockSize} bytes: ` +
          `lower --kv-cache-memory (${reason})`,
        { cause },
      );
    }
  }

  /** Keys of a slot, on the device. The cache owns it. */
  keys(slot: number): Tensor {
    return this.#tensors[2 * slot];
  }

  /** Values of a slot, on the device. The cache owns it. */
  values(slot: number): Tensor {
    return this.#tensors[2 * slot + 1];
  }

  /** Copies blocks in the order that is given, inside the device. */
  async copy(copies: readonly BlockCopy[]): Promise<void> {
    this.#check(copies.flatMap(({ from, to }) => [from, to]));
    for (const run of independentRuns(copies)) {
      const feeds = {
        ...this.#feeds,
        ...fromBlocks(run.map((c) => c.from)),
        ...toBlocks(run.map((c) => c.to)),
      };
      await this.#sessions.copy.run(feeds, this.#written);
    }
  }

  /** Reads blocks to the host. */
  async read(blocks: readonly number[], into: readonly Uint8Array[]): Promise<void> {
    this.#check(blocks);
    for (const [start, end] of this.#pieces(blocks.length)) {
      await this.#readPiece(blocks.slice(start, end), into.slice(start, end));
    }
  }

  /** Writes blocks from the host. */
  async write(blocks: readonly number[], from: readonly Uint8Array[]): Promise<void> {
    this.#check(blocks);
    for (const [start, end] of this.#pieces(blocks.length)) {
      await this.#writePiece(blocks.slice(start, end), from.slice(start, end));
    }
  }

  /** Frees the device's memory. Idempotent. */
  async dispose(): Promise<void> {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    await release(this.#sessions, this.#tensors);
  }

  async #readPiece(blocks: readonly number[], into: readonly Uint8Array[]): Promise<void> {
    const results = await this.#sessions.read.run({ ...this.#feeds, ...fromBlocks(blocks) });
    let start = 0;
    for (const [i, bytes] of this.#partBytes().entries()) {
      const part = bytesOf(results[`blocks.${i}`]);
      for (const [n, place] of into.entries()) {
        place.set(part.subarray(n * bytes, (n + 1) * bytes), start);
      }
      start += bytes;
    }
  }

  async #writePiece(blocks: readonly number[], from: readonly Uint8Array[]): Promise<void> {
    const feeds: Record<string, Tensor> = { ...this.#feeds, ...toBlocks(blocks) };
    let start = 0;
    for (const [i, bytes] of this.#partBytes().entries()) {
      const part = new Uint8Array(blocks.length * bytes);
      for (const [n, whole] of from.entries()) {
        part.set(whole.subarray(start, start + bytes), n * bytes);
      }
      const dims = [blocks.length, ...this.#tensors[i].dims.slice(1)];
      feeds[`blocks.${i}`] = float16Tensor(new Uint16Array(part.buffer), dims);
      start += bytes;
    }
    await this.#sessions.write.run(feeds, this.#written);
  }

  /** Ranges of so many blocks that one call copies each. */
  *#pieces(count: number): Generator<readonly [start: number, end: number]> {
    const most = this.#blocksPerCall;
    for (let start = 0; start < count; start += most) yield [start, Math.min(count, start + most)];
  }

  /** Bytes of a block in each tensor. */
  #partBytes(): number[] {
    const { slots, blockSize } = this.config;
    return slots.flatMap(({ numKvHeads, headSize }) => {
      const bytes = blockSize * numKvHeads * headSize * ELEMENT_BYTES;
      return [bytes, bytes];
    });
  }

  /** The kernels do not check block ids: they would write other memory. */
  #check(blocks: readonly number[]): void {
    const { numBlocks } = this.config;
    const wrong = blocks.find(
      (block) => !(Number.isInteger(block) && block >= 0 && block < numBlocks),
    );
    if (wrong !== undefined) throw new Error(`block ${wrong} of a cache of ${numBlocks} blocks`);
  }

  async #probe(): Promise<void> {
    const blocks = [...new Set([0, this.config.numBlocks - 1])];
    const written = blocks.map((block) =>
      Uint8Array.from({ length: this.bytesPerBlock }, (_, i) => (i * 7 + block) % 61),
    );
    const read = blocks.map(() => new Uint8Array(this.bytesPerBlock));
    await this.write(blocks, written);
    await this.read(blocks, read);
    if (!read.every((bytes, i) => Buffer.compare(bytes, written[i]) === 0)) {
      // Of tensors beyond what a kernel binds at once, as Mesa's software device does at 128 MiB.
      throw new Error('of a tensor that large, it does not give back what was written');
    }
    await this.write(
      blocks,
      blocks.map(() => new Uint8Array(this.bytesPerBlock)),
    );
  }
}

/**
 * Splits copies where one touches what an earlier one has written: a run reads all before it
 * writes.
 */
function independentRuns(copies: readonly BlockCopy[]): BlockCopy[][] {
  const runs: BlockCopy[][] = [];
  let written = new Set<number>();
  for (const copy of copies) {
    if (runs.length === 0 || written.has(copy.from) || written.has(copy.to)) {
      runs.push([]);
      written = new Set();
    }
    runs[runs.length - 1].push(copy);
    written.add(copy.to);
  }
  return runs;
}

async function release(sessions: Sessions, tensors: readonly Tensor[]): Promise<void> {
  for (const tensor of tensors) tensor.dispose();
  for (const session of Object.values(sessions) as InferenceSession[]) await session.release();
}
