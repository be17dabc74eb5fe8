import type { TokenId } from '../../scheduler/ids.js';
import type { PromptContent } from '../../scheduler/sequence.js';

/** What an image, or a piece of one, has become: the rows that stand in the place of its tokens. */
export interface PromptImage extends PromptContent {
  /** `[end - start, hiddenSize]`, in memory that threads share; never changed. */
  readonly rows: Float32Array;
  /** Of further layers of the encoder, as `rows`; empty for most models. */
  readonly deepstack: readonly Float32Array[];
  /** Rows and columns of its tokens, for models whose positions have both; null for others. */
  readonly grid: ImageGrid | null;
}

export interface ImageGrid {
  readonly height: number;
  readonly width: number;
}

/** An image that was encoded. */
export interface ImageRows {
  /** Identifies its bytes and how they became rows. */
  readonly key: string;
  /** `[numRows, width]` */
  readonly rows: Float32Array;
  /** Features of further layers, each as `rows`. */
  readonly deepstack: readonly Float32Array[];
  readonly numRows: number;
  readonly width: number;
  /** See `PromptImage`. */
  readonly grid: ImageGrid | null;
}

/** The images of a prompt that is still a text. */
export interface PromptImages {
  /** Of which each stands for one row. */
  readonly token: TokenId;
  /** Whether tokens of an image attend to each other in both directions. */
  readonly isBidirectional: boolean;
  /** In their order in the text. */
  readonly list: readonly ImageRows[];
}
