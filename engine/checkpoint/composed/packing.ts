/** How a checkpoint's quantizer has stored weights, as its configuration says. */
export type Packing =
  | { readonly method: 'gptq'; readonly added: 0 | 1 }
  | { readonly method: 'awq' }
  | {
      readonly method: 'compressed-tensors';
      /** Whether activations have 8 bits where weights are int8. */
      readonly hasActivations: boolean;
      /** Of weights in FP8; null: all, or each row. */
      readonly block: Block | null;
    }
  | { readonly method: 'fp8'; readonly block: Block | null }
  /** Of experts alone, which are stacked. */
  | { readonly method: 'mxfp4' };

/** Rows and columns that share a scale. */
export type Block = readonly [rows: number, columns: number];
