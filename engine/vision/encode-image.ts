import { OctavoError } from '../errors.js';
import type { ImageRows } from '../protocol/prompt-image.js';
import { decodePixels, type Pixels } from './pixels.js';
import { processGemma3 } from './processors/gemma3.js';
import { processIdefics3 } from './processors/idefics3.js';
import type { EncoderInput, ImageLayout } from './processors/processor.js';
import { processQwenVl } from './processors/qwen-vl.js';
import type { VisionModel, VisionSettings } from './vision-model.js';
import type { VisionSession } from './vision-session.js';

/** A picture as the decoder takes it. */
export interface EncodedImage extends Omit<ImageRows, 'key'> {
  readonly layout: ImageLayout;
}

export function processPixels(pixels: Pixels, settings: VisionSettings): EncoderInput {
  switch (settings.kind) {
    case 'gemma3':
      return processGemma3(pixels, settings);
    case 'idefics3':
      return processIdefics3(pixels, settings);
    case 'qwen-vl':
      return processQwenVl(pixels, settings);
  }
}

/**
 * A file's bytes to rows.
 *
 * @throws OctavoError `invalid_request` for what is no picture; `model_unsupported` when the
 *   encoder's rows are not as many as its configuration says
 */
export async function encodeImage(
  bytes: Uint8Array,
  { settings, rowsPerPiece, file }: VisionModel,
  session: VisionSession,
): Promise<EncodedImage> {
  const input = processPixels(await decodePixels(bytes), settings);
  const { layout } = input;
  const { rows, width, deepstack } = await session.run(input);
  const numRows = rows.length / width;
  const { tiles, tokens } = layout;
  const expected = tokens
    ? tokens.height * tokens.width
    : (tiles.height * tiles.width + 1) * (rowsPerPiece ?? 0);
  if (numRows !== expected) {
    throw new OctavoError(
      'model_unsupported',
      `${file}: it gives ${numRows} rows for a picture; by its configuration there are ${expected}`,
    );
  }
  const features = deepstack.map(shared);
  return { rows: shared(rows), deepstack: features, numRows, width, grid: tokens, layout };
}

/** A copy in memory that threads share. */
function shared(values: Float32Array): Float32Array {
  const copy = new Float32Array(new SharedArrayBuffer(values.byteLength));
  copy.set(values);
  return copy;
}
