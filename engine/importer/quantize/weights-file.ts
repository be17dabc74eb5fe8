import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { create } from '@bufbuild/protobuf';
import {
  StringStringEntryProtoSchema,
  type TensorProto,
  TensorProto_DataLocation,
  TensorProtoSchema,
  type TensorProto_DataType as Type,
} from '../onnx/onnx_pb.js';

/** ONNX recommends to align tensors to pages; ONNX Runtime then maps the file. */
const ALIGNMENT = 4096;
const PADDING = new Uint8Array(ALIGNMENT);

/** A file of external data that is written sequentially and hashed on the way. */
export class WeightsFile {
  readonly #file: FileHandle;
  readonly #location: string;
  readonly #hash = createHash('sha256');
  #size = 0;

  private constructor(file: FileHandle, location: string) {
    this.#file = file;
    this.#location = location;
  }

  static async create(path: string, location: string): Promise<WeightsFile> {
    return new WeightsFile(await open(path, 'wx'), location);
  }

  /** Appends a tensor's bytes, in one or more pieces. @returns the tensor, pointing to them */
  async add(
    name: string,
    dims: readonly bigint[],
    dataType: Type,
    pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  ): Promise<TensorProto> {
    await this.#write(PADDING.subarray(0, (ALIGNMENT - (this.#size % ALIGNMENT)) % ALIGNMENT));
    const offset = this.#size;
    for await (const piece of pieces) await this.#write(piece);
    const entries = { location: this.#location, offset, length: this.#size - offset };
    return create(TensorProtoSchema, {
      name,
      dims: [...dims],
      dataType,
      dataLocation: TensorProto_DataLocation.EXTERNAL,
      externalData: Object.entries(entries).map(([key, value]) =>
        create(StringStringEntryProtoSchema, { key, value: String(value) }),
      ),
    });
  }

  /** Syncs the file to disk. @returns its SHA-256, hexadecimal */
  async finish(): Promise<string> {
    await this.#file.sync();
    await this.#file.close();
    return this.#hash.digest('hex');
  }

  /** Closes the file without finishing it. Idempotent. */
  async close(): Promise<void> {
    await this.#file.close().catch(() => undefined);
  }

  async #write(bytes: Uint8Array): Promise<void> {
    // The system copies the bytes while they are hashed here.
    const writing = this.#writeAll(bytes);
    this.#hash.update(bytes);
    await writing;
    this.#size += bytes.length;
  }

  async #writeAll(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      done += (await this.#file.write(bytes, done)).bytesWritten;
    }
  }
}
