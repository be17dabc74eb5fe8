import type { TokenId } from '../../scheduler/ids.js';

/** A text, or a pair of texts, as an encoder reads it. */
export interface EncoderInput {
  readonly tokenIds: readonly TokenId[];
  /** Index of the first token of the second text; absent: there is none. */
  readonly secondFrom?: number;
}

/** What a graph gives for each text. */
export type OutputKind = 'rows' | 'vector' | 'scores';

/** What computes texts: the graph of an export, or one that is built. */
export interface EncoderRunner {
  readonly output: OutputKind;
  /** What was changed in the graph, one line each. */
  readonly rewrites: readonly string[];
  /** Whether texts must be computed one at a time. */
  readonly runsAlone: boolean;
  /** Whether texts of any lengths are computed together without padding. */
  readonly isPacked: boolean;
  /**
   * Computes texts together.
   *
   * @returns of each text, in memory of its own, `[length, width]` for `rows`, else `[width]`
   * @throws OctavoError `engine_failed` when ONNX Runtime cannot compute them
   */
  run(inputs: readonly EncoderInput[]): Promise<Float32Array[]>;
  release(): Promise<void>;
}
