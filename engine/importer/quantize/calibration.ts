// What rounding asks of calibration texts (engine/calibration/ answers).

/** An activation that matmuls read. */
export interface CalibratedInput {
  readonly name: string;
  /** Its last dimension. */
  readonly width: number;
}

/** Texts that a model's weights are rounded by. */
export interface Calibration {
  /** A hash of all that the texts add to a rewriting: equal keys, equal weights. */
  readonly key: string;
  /**
   * Begins to run the model on the texts.
   *
   * @param inputs of the matmuls that will be rounded
   * @throws OctavoError `model_unsupported`, `usage`
   */
  readonly collect: (inputs: readonly CalibratedInput[]) => Promise<MomentSource>;
}

/** Second moments of activations, in the order in which the model computes them. */
export interface MomentSource {
  /** Where the model computes an activation. Those that come later are to be asked for later. */
  readonly stageOf: (name: string) => number;
  /**
   * Sums of x x^T over all tokens, once: they are the caller's then.
   *
   * @returns for each of `inputBlocks` `[size, size]`
   */
  readonly momentsOf: (name: string) => Promise<readonly Float32Array[]>;
  readonly close: () => Promise<void>;
}

/** Neighboring inputs whose products are summed. */
export interface InputBlock {
  readonly start: number;
  readonly size: number;
}

/** Inputs of a block, at most: sums of 4,096 take 64 MiB. Weights of two blocks are independent. */
const MOST = 4096;
/** A multiple of all sizes of groups. */
const STEP = 128;

/** The blocks of a matmul's inputs, about equally large. */
export function inputBlocks(width: number): InputBlock[] {
  const count = Math.ceil(width / MOST);
  const size = Math.ceil(width / count / STEP) * STEP;
  const blocks: InputBlock[] = [];
  for (let start = 0; start < width; start += size) {
    blocks.push({ start, size: Math.min(size, width - start) });
  }
  return blocks;
}
