/**
 * `(x - mean) / sqrt(variance + epsilon) * weight + bias` (`layer`), or without mean and bias
 * (`rms`).
 */
export interface Norm {
  readonly kind: 'rms' | 'layer';
  readonly size: number;
  /** Null: ones. */
  readonly weight: Weight | null;
  readonly bias: Weight | null;
  /** Added to the weight: 1 where a checkpoint stores its distance from 1. */
  readonly offset: 0 | 1;
  readonly epsilon: number;
}

/** Norms of a block's input and of its output. */
export interface BlockNorms {
  readonly before: Norm | null;
  readonly after: Norm | null;
}

export interface Linear {
  readonly weight: Weight;
  readonly bias: Weight | null;
  /** Whether the weight is stored as `[outputs, inputs]`, as torch.nn.Linear has it. */
  readonly turned: boolean;
}

/** A weight of the checkpoint, or some of its rows. */
export interface Weight {
  readonly name: string;
  /** Of the whole tensor. */
  readonly shape: readonly number[];
  /** Which matrix of a tensor `[matrices, rows, columns]`; absent: the tensor is one. */
  readonly matrix?: number;
  /** Of the tensor, or of the matrix; absent: all. */
  readonly rows?: { readonly first: number; readonly count: number };
}
