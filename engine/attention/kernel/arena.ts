import { OctavoError } from '../../errors.js';

const PAGE_BYTES = 65_536;
/** wasm32 addresses 4 GiB; the last page stays free, so that an end address never wraps to 0. */
export const MAX_MEMORY_BYTES = 65_535 * PAGE_BYTES;

/**
 * A shared wasm memory that is allocated from its start and never freed. It grows as needed. The
 * operating system commits a page when it is first touched, so a large pool costs nothing before it
 * is used.
 */
export class Arena {
  readonly memory = reserveAddresses();
  // The first bytes stay unused: 0 means absent.
  #end = 1024;

  /** @returns the byte offset of `bytes` zeroed bytes, aligned to a cache line */
  allocate(bytes: number): number {
    const start = Math.ceil(this.#end / 64) * 64;
    const end = start + bytes;
    if (end > MAX_MEMORY_BYTES)
      throw new RangeError(`${end} bytes do not fit into one wasm memory`);
    this.#growTo(end);
    this.#end = end;
    return start;
  }

  /** Grows the memory for later allocations by at least `bytes`, if the limit allows it. */
  reserve(bytes: number): void {
    this.#growTo(Math.min(this.#end + bytes, MAX_MEMORY_BYTES));
  }

  #growTo(end: number): void {
    const missing = end - this.memory.buffer.byteLength;
    if (missing <= 0) return;
    try {
      this.memory.grow(Math.ceil(missing / PAGE_BYTES));
    } catch (error) {
      throw noMemory(`${(end / 2 ** 30).toFixed(1)} GiB`, error);
    }
  }

  floats(start: number, length: number): Float32Array {
    return new Float32Array(this.memory.buffer, start, length);
  }

  ints(start: number, length: number): Int32Array {
    return new Int32Array(this.memory.buffer, start, length);
  }

  bytes(start: number, length: number): Uint8Array {
    return new Uint8Array(this.memory.buffer, start, length);
  }

  store(values: Float32Array): number {
    const start = this.allocate(values.byteLength);
    this.floats(start, values.length).set(values);
    return start;
  }
}

/** Memory for the arrays of one step. The next step reuses it; it grows with the largest. */
export class StepRegion {
  readonly #arena: Arena;
  #start = 0;
  #bytes = 0;

  constructor(arena: Arena) {
    this.#arena = arena;
  }

  /** @returns the byte offsets of arrays of so many bytes, aligned to cache lines */
  place(sizes: readonly number[]): number[] {
    const padded = sizes.map((size) => Math.ceil(size / 64) * 64);
    const total = padded.reduce((a, b) => a + b, 0);
    if (total > this.#bytes) {
      this.#bytes = 2 * total;
      this.#start = this.#arena.allocate(this.#bytes);
    }
    let next = this.#start;
    return padded.map((size) => {
      const place = next;
      next += size;
      return place;
    });
  }
}

function reserveAddresses(): WebAssembly.Memory {
  try {
    return new WebAssembly.Memory({ initial: 1, maximum: 65_536, shared: true });
  } catch (error) {
    throw noMemory('addresses for 4 GiB', error);
  }
}

function noMemory(what: string, cause: unknown): OctavoError {
  const message = `the system does not give the KV cache ${what} (ulimit -v, vm.overcommit_memory): lower --kv-cache-memory or raise the limit`;
  return new OctavoError('system_limit', message, { cause });
}
