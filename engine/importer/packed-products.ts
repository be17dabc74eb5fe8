/**
 * Products of com.microsoft whose weights are packed, so that their shapes say nothing: the
 * attributes K and N state inputs and outputs.
 */
export const PACKED_PRODUCTS: ReadonlySet<string> = new Set(['MatMulNBits', 'MatMulBnb4']);
