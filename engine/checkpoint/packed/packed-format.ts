/**
 * Where `unpack` writes what a run of blocks holds. Value i has the number `values[i]`, and with s
 * its place among the scales, i divided by the format's `group`, it means
 *
 *     scales[s] * values[i] + least[s]
 */
export interface Unpacked {
  readonly values: Uint8Array;
  readonly scales: Float32Array;
  /** Of formats without, it has the scale times the negative middle of `bits`. */
  readonly least: Float32Array;
  /** Whole numbers that mean 0, for weights that have them (`PackedMatrix.origin`). */
  readonly zeroPoints: Uint8Array;
}

/**
 * A format of ggml in which weights lie in blocks, and how its numbers are written exactly as whole
 * numbers of 4 or 8 bits with a scale, and for some a least value, for each group of 16 or 32.
 */
export interface PackedFormat {
  readonly name: string;
  /** Numbers and bytes of a block. */
  readonly blockSize: number;
  readonly blockBytes: number;
  readonly bits: 4 | 8;
  /** Numbers that share a scale: 16 or 32. */
  readonly group: number;
  /** Whether the least value is its own, rather than that of the middle of the range at 0. */
  readonly hasLeast: boolean;
  /** Unpacks the block that begins at a byte, as block `index` of what is written. */
  readonly unpack: (bytes: Uint8Array, at: number, into: Unpacked, index: number) => void;
}

/** The number that stands for 0 in formats without a least value. */
export function middleOf({ bits }: Pick<PackedFormat, 'bits'>): number {
  return 2 ** (bits - 1);
}

/** @returns memory for so many blocks, to be used again and again */
export function unpackedMemory(format: PackedFormat, blocks: number): Unpacked {
  const groups = (blocks * format.blockSize) / format.group;
  return {
    values: new Uint8Array(blocks * format.blockSize),
    scales: new Float32Array(groups),
    least: new Float32Array(groups),
    zeroPoints: new Uint8Array(0),
  };
}

/** Unpacks whole blocks, one after the other. */
export function unpackBlocks(format: PackedFormat, bytes: Uint8Array, into: Unpacked): void {
  const { blockBytes, unpack, hasLeast } = format;
  const blocks = bytes.length / blockBytes;
  for (let i = 0; i < blocks; i++) unpack(bytes, i * blockBytes, into, i);
  if (hasLeast) return;
  const middle = middleOf(format);
  const groups = (blocks * format.blockSize) / format.group;
  for (let i = 0; i < groups; i++) into.least[i] = -middle * into.scales[i];
}
