import type { ImageGrid } from '../../protocol/prompt-image.js';
import type { Normalization, Pixels } from '../pixels.js';

/** What a vision encoder is fed for one picture. */
export interface EncoderInput {
  readonly pixelValues: Float32Array;
  readonly dims: readonly number[];
  /** `image_grid_thw`: patches in time, height and width; null for encoders without it. */
  readonly grid: readonly [number, number, number] | null;
  readonly layout: ImageLayout;
}

/** How a picture's rows lie in a prompt. */
export interface ImageLayout {
  /** Rows and columns of the pieces that it was cut into; 0 for a picture that is whole. */
  readonly tiles: ImageGrid;
  /** Rows and columns of its tokens, for models whose positions have both; null for others. */
  readonly tokens: ImageGrid | null;
}

export const WHOLE: ImageGrid = { height: 0, width: 0 };

/** What all processors are configured with. */
export interface Processing extends Normalization {
  /** Pillow's number of the filter. */
  readonly resample: number;
}

/** Makes of a picture what the encoder of one family of models is fed. */
export type Process<Settings extends Processing> = (
  pixels: Pixels,
  settings: Settings,
) => EncoderInput;
