import { randomUUID } from 'node:crypto';
import { closeSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { Tensor } from 'onnxruntime-node';

/** Smaller tensors stay in memory. */
const LEAST_BYTES = 4096;

/** A tensor of float32 that lies in the file. */
interface Stored {
  readonly dims: readonly number[];
  readonly at: number;
  readonly bytes: number;
}

export type Kept = Tensor | Stored;

/**
 * What texts hand on from one part of a model to the next: more than memory should hold. The system
 * caches the file as it sees fit.
 */
export class ScratchFile {
  readonly #path: string;
  readonly #descriptor: number;
  #end = 0;
  /** Places that are free again, by their bytes: texts of a length need the same. */
  readonly #free = new Map<number, number[]>();

  /** @param dir where the file is, until it is closed */
  constructor(dir: string) {
    this.#path = join(dir, `calibration-${randomUUID()}.scratch`);
    this.#descriptor = openSync(this.#path, 'wx+');
    // Nothing of it is left when the process is killed. (Windows keeps the names of open files.)
    if (process.platform !== 'win32') rmSync(this.#path);
  }

  /** @returns what stands for the tensor, whose memory may be freed */
  keep(tensor: Tensor): Kept {
    const { data, dims } = tensor;
    if (!(data instanceof Float32Array) || data.byteLength < LEAST_BYTES) return tensor;
    const bytes = data.byteLength;
    const at = this.#free.get(bytes)?.pop() ?? this.#end;
    if (at === this.#end) this.#end += bytes;
    const raw = new Uint8Array(data.buffer, data.byteOffset, bytes);
    for (let done = 0; done < bytes; ) {
      done += writeSync(this.#descriptor, raw, done, bytes - done, at + done);
    }
    return { dims, at, bytes };
  }

  read(kept: Kept): Tensor {
    if (!('at' in kept)) return kept;
    const floats = new Float32Array(kept.bytes / 4);
    readSync(this.#descriptor, new Uint8Array(floats.buffer), 0, kept.bytes, kept.at);
    return new Tensor('float32', floats, [...kept.dims]);
  }

  /** Its place is free. */
  drop(kept: Kept): void {
    if (!('at' in kept)) return;
    this.#free.set(kept.bytes, [...(this.#free.get(kept.bytes) ?? []), kept.at]);
  }

  close(): void {
    closeSync(this.#descriptor);
    rmSync(this.#path, { force: true });
  }
}
