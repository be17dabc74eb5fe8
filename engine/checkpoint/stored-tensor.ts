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
  /** Of a quantized weight, for which several tensors of the checkpoint stand; absent: itself. */
  readonly composed?: ComposedWeight;
}

/**
 * Formats in which the quantizers of safetensors store a matrix `[outputs, inputs]`, as several
 * tensors: whole numbers in words of 32 bits along the inputs (`gptq`, `packed`) or along the
 * outputs (`awq`), as int8 (`int8`; `w8a8`, which is multiplied with activations of 8 bits), or
 * floats of 8 bits (`fp8`). Of experts, a stack `[experts, outputs, inputs]` as floats of 4 bits
 * with powers of 2 (`mxfp4`).
 */
export type ComposedFormat = 'gptq' | 'awq' | 'packed' | 'int8' | 'w8a8' | 'fp8' | 'mxfp4';

export const COMPOSED_PARTS = ['values', 'scales', 'zeros', 'order'] as const;
export type ComposedPart = (typeof COMPOSED_PARTS)[number];

export interface ComposedWeight {
  readonly format: ComposedFormat;
  /** Bits of a number. */
  readonly bits: number;
  /** Added to zero points as they are stored. */
  readonly added: 0 | 1;
  /** Rows and columns of `fp8` that share a scale. */
  readonly block: readonly [rows: number, columns: number];
  readonly parts: Readonly<Partial<Record<ComposedPart, StoredTensor>>>;
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
