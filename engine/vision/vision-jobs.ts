import type { EncodedImage } from './encode-image.js';
import type { VisionModel } from './vision-model.js';

/** Data with which the thread is started. */
export interface VisionThreadData {
  readonly model: VisionModel;
  /** Of ONNX Runtime. */
  readonly threads: number;
}

/** Null: only loads the encoder. */
export type VisionWork = { readonly bytes: Uint8Array | null };
export type VisionResult = EncodedImage | null;
