/**
 * How weights of floats are stored and multiplied: as the model has them; as int8 with int8
 * activations; or by block in 8 or 4 bits (`Activations`). `auto` chooses one of these by the
 * machine.
 */
export const QUANTIZATIONS = ['none', 'w8a8', 'q8', 'q4', 'auto'] as const;
export type Quantization = (typeof QUANTIZATIONS)[number];

/**
 * What weights in blocks of 4 or 8 bits are multiplied with: activations as they are, or rounded to
 * 8 bits by the same groups of inputs, as llama.cpp does.
 */
export const ACTIVATIONS = ['int8', 'exact'] as const;
export type Activations = (typeof ACTIVATIONS)[number];

/** What weights are rewritten as. */
export type QuantizedKind = Exclude<Quantization, 'none' | 'auto'>;

/** Bits of a weight. On CPUs whose 8-bit matmuls saturate, weights have 7. */
export type WeightBits = 7 | 8;

/**
 * Largest magnitude of a quantized weight. With 7 bits two neighboring products, 2 * 255 * 64 =
 * 32,640, fit the 16-bit sums of CPUs without VNNI; symmetric on purpose, so that a weight and its
 * negation are stored alike.
 */
export const LARGEST_WEIGHT = { 7: 64, 8: 127 } as const satisfies Record<WeightBits, number>;

/** Which weights of a graph are quantized, and as what. */
export interface QuantizeScope {
  /** Absent: w8a8. */
  readonly kind?: QuantizedKind;
  /**
   * Whether weights that are packed in 2, 4 or 8 bits already (MatMulNBits) are dequantized and
   * quantized again.
   */
  readonly nbits: boolean;
}
