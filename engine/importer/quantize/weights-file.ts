import { createHash, type Hash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { create } from '@bufbuild/protobuf';
import {
  StringStringEntryProtoSchema,
  type TensorProto,
  TensorProto_DataLocation,
  TensorProtoSchema,
  type TensorProto_DataType as Type,
} from '../onnx/onnx_pb.js';
import { type JournalLine, readJournal, WeightsJournal } from './weights-journal.js';

/** ONNX recommends to align tensors to pages; ONNX Runtime then maps the file. */
const ALIGNMENT = 4096;
const PADDING = new Uint8Array(ALIGNMENT);
/** Bytes that are read at a time. */
const PIECE = 4 * 2 ** 20;

/** A tensor that an interrupted conversion has written, and the hash of the file up to its end. */
interface Kept {
  readonly line: JournalLine;
  readonly hash: Hash;
}

/**
 * A file of external data that is written sequentially and hashed on the way. A journal beside it
 * says which tensors are whole, so that an interrupted conversion goes on behind them: it asks for
 * each of its tensors, in its usual order, whether it is kept.
 */
export class WeightsFile {
  readonly #file: FileHandle;
  readonly #location: string;
  readonly #journal: WeightsJournal;
  #hash: Hash;
  #size: number;
  /** Those that are whole, and how many of them have been asked for. */
  #kept: readonly Kept[];
  #taken = 0;

  private constructor(
    file: FileHandle,
    location: string,
    journal: WeightsJournal,
    kept: readonly Kept[],
  ) {
    this.#file = file;
    this.#location = location;
    this.#journal = journal;
    this.#kept = kept;
    this.#size = 0;
    this.#hash = createHash('sha256');
  }

  /** Creates a file, or opens one that was left unfinished; what is damaged there is dropped. */
  static async open(path: string, location: string): Promise<WeightsFile> {
    const file = await open(path, constants.O_RDWR | constants.O_CREAT, 0o644);
    try {
      const kept = await verified(file, await readJournal(path));
      const journal = await WeightsJournal.write(
        path,
        kept.map(({ line }) => line),
      );
      return new WeightsFile(file, location, journal, kept);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /**
   * The next tensors, if an earlier attempt has written all of them whole. If not, they have to be
   * added, and so do all that follow.
   */
  kept(names: readonly string[]): TensorProto[] | null {
    const next = this.#kept.slice(this.#taken, this.#taken + names.length);
    const last = next.at(-1);
    if (!last || names.some((name, i) => next.at(i)?.line.name !== name)) return null;
    this.#taken += names.length;
    this.#size = last.line.offset + last.line.length;
    this.#hash = last.hash;
    return next.map(({ line }) => this.#tensor(line));
  }

  /** Appends a tensor's bytes, in one or more pieces. @returns the tensor, pointing to them */
  async add(
    name: string,
    dims: readonly bigint[],
    dataType: Type,
    pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  ): Promise<TensorProto> {
    await this.#dropKept();
    await this.#write(PADDING.subarray(0, (ALIGNMENT - (this.#size % ALIGNMENT)) % ALIGNMENT));
    const offset = this.#size;
    for await (const piece of pieces) await this.#write(piece);
    const length = this.#size - offset;
    const sha256 = this.#hash.copy().digest('hex');
    const line = { name, dims: dims.map(Number), dataType, offset, length, sha256 };
    await this.#journal.add(line);
    return this.#tensor(line);
  }

  /** Syncs the file to disk, and removes the journal. @returns its SHA-256, hexadecimal */
  async finish(): Promise<string> {
    await this.#dropKept();
    await this.#file.sync();
    await this.#file.close();
    await this.#journal.remove();
    return this.#hash.digest('hex');
  }

  /** Closes the file without finishing it. Idempotent. */
  async close(): Promise<void> {
    await this.#file.close().catch(() => undefined);
    await this.#journal.close();
  }

  /** What was written behind the tensors that were taken is of no use. */
  async #dropKept(): Promise<void> {
    if (this.#taken === this.#kept.length) return;
    this.#kept = this.#kept.slice(0, this.#taken);
    await this.#file.truncate(this.#size);
    await this.#journal.rewrite(this.#kept.map(({ line }) => line));
  }

  #tensor({ name, dims, dataType, offset, length }: JournalLine): TensorProto {
    const entries = { location: this.#location, offset, length };
    return create(TensorProtoSchema, {
      name,
      dims: dims.map(BigInt),
      dataType,
      dataLocation: TensorProto_DataLocation.EXTERNAL,
      externalData: Object.entries(entries).map(([key, value]) =>
        create(StringStringEntryProtoSchema, { key, value: String(value) }),
      ),
    });
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
      const left = bytes.length - done;
      const { bytesWritten } = await this.#file.write(bytes, done, left, this.#size + done);
      done += bytesWritten;
    }
  }
}

/** The tensors whose bytes are what the journal says; the file is cut behind them. */
async function verified(file: FileHandle, lines: readonly JournalLine[]): Promise<Kept[]> {
  const kept: Kept[] = [];
  const hash = createHash('sha256');
  const piece = new Uint8Array(lines.length === 0 ? 0 : PIECE);
  let at = 0;
  for (const line of lines) {
    const end = line.offset + line.length;
    while (at < end) {
      const { bytesRead } = await file.read(piece, 0, Math.min(PIECE, end - at), at);
      if (bytesRead === 0) break;
      hash.update(piece.subarray(0, bytesRead));
      at += bytesRead;
    }
    if (at !== end || hash.copy().digest('hex') !== line.sha256) break;
    kept.push({ line, hash: hash.copy() });
  }
  const last = kept.at(-1)?.line;
  await file.truncate(last ? last.offset + last.length : 0);
  return kept;
}
