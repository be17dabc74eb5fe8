/**
 * Matmuls of com.microsoft with packed weights: the weight's shape does not state the sizes, the
 * attributes K (inputs) and N (outputs) do.
 */
export const PACKED_PRODUCTS: ReadonlySet<string> = new Set(['MatMulNBits', 'MatMulBnb4']);
