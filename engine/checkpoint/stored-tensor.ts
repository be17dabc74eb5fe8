/** Number formats in which checkpoints store weights that are read. */
export const STORED_TYPES = ['F32', 'F16', 'BF16'] as const;
export type StoredType = (typeof STORED_TYPES)[number];

/** Bytes of one number. */
export const STORED_BYTES: Readonly<Record<StoredType, number>> = { F32: 4, F16: 2, BF16: 2 };

/** A tensor of a checkpoint: its bytes lie in a file, row by row, little-endian, and stay there. */
export interface StoredTensor {
  readonly name: string;
  /** As the file names it: one of `STORED_TYPES`, or one that no weight may have. */
  readonly type: string;
  /** Sizes of the dimensions, the slowest first. */
  readonly shape: readonly number[];
  /** Path of the file. */
  readonly file: string;
  /** Where the bytes begin in the file. */
  readonly offset: number;
  readonly bytes: number;
}

/** The weights of a model as they lie on disk, by name, in whatever format they are stored. */
export interface Checkpoint {
  /** Directory of all its files. */
  readonly dir: string;
  /** The file that stands for it in messages. */
  readonly file: string;
  /** Names of all its files in the directory, those without weights included. */
  readonly files: readonly string[];
  readonly tensors: ReadonlyMap<string, StoredTensor>;
}
