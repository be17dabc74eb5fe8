import { instantiateWeightKernel, type WeightExports } from './module.js';

const PAGE = 65_536;
const ALIGNMENT = 64;
/** Loops of the kernel may reach so far beyond the last number. */
const MARGIN = 64;
/** Bytes that are handed out at a time: what a file is written in. */
const PIECE = 16 * 2 ** 20;

/**
 * The SIMD kernel that widens and rounds weights (assembly/), and its memory: regions that are
 * taken one after the other, and all given back at once. Taking a region may detach earlier views;
 * get views after all regions.
 */
export class WeightKernel {
  readonly exports: WeightExports;
  readonly #memory = new WebAssembly.Memory({ initial: 1, maximum: 65_536 });
  #end = ALIGNMENT;

  constructor() {
    this.exports = instantiateWeightKernel(this.#memory);
  }

  /** Gives all regions back. */
  reset(): void {
    this.#end = ALIGNMENT;
  }

  /** @returns where a region of so many bytes begins; it holds anything */
  take(bytes: number): number {
    const start = this.#end;
    this.#end = Math.ceil((start + bytes + MARGIN) / ALIGNMENT) * ALIGNMENT;
    const missing = this.#end - this.#memory.buffer.byteLength;
    if (missing > 0) this.#memory.grow(Math.ceil(missing / PAGE));
    return start;
  }

  bytes(start: number, length: number): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.#buffer, start, length);
  }

  /** @param length of floats */
  floats(start: number, length: number): Float32Array<ArrayBuffer> {
    return new Float32Array(this.#buffer, start, length);
  }

  /** @param length of float64 numbers */
  doubles(start: number, length: number): Float64Array<ArrayBuffer> {
    return new Float64Array(this.#buffer, start, length);
  }

  /** A region in pieces, each valid until the next is asked for. */
  *pieces(start: number, length: number): Generator<Uint8Array> {
    for (let at = 0; at < length; at += PIECE) {
      yield this.bytes(start + at, Math.min(PIECE, length - at));
    }
  }

  /** (The memory is not shared, unlike that of the attention, for which it is declared.) */
  get #buffer(): ArrayBuffer {
    return this.#memory.buffer as unknown as ArrayBuffer;
  }
}
