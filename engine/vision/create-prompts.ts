import { mostAtOnce } from '../../scheduler/limits.js';
import { OctavoError } from '../errors.js';
import type { PromptMaker } from '../generation/prompts/prompt-maker.js';
import { PromptThreads } from '../generation/prompts/prompt-threads.js';
import type { EngineInfo } from '../protocol/options.js';
import type { EngineSettings } from '../settings.js';
import type { ServedModel } from '../text/served-model.js';
import { ImageEncoder } from './image-encoder.js';
import { readVisionModel, type VisionModel } from './vision-model.js';
import { maxImagesOf } from './vision-settings.js';

/** Of encoded images, where the settings state none. */
const CACHE_BYTES = 256 * 2 ** 20;

interface ModelFiles {
  readonly dir: string;
  /** The decoder's, where it was chosen by its path. */
  readonly file?: string | undefined;
}

/**
 * Makes the prompts of a model; with images, where it has a vision encoder that is known and runs
 * on the CPU.
 *
 * @param say receives what the operator should know, one line at a time
 * @throws OctavoError `model_file_corrupt`, `model_unsupported` for an encoder that cannot run
 */
export async function createPrompts(
  model: ServedModel,
  { dir: modelDir, file }: ModelFiles,
  settings: Omit<EngineSettings, 'model'>,
  { takesImages = false, vocabSize, hiddenSize, maxNumBatchedTokens, numDeepstack = 0 }: EngineInfo,
  say: (line: string) => void,
): Promise<PromptMaker> {
  const prompts = new PromptThreads(model, modelDir);
  const vision = await readVisionModel(modelDir, settings.dtype, file);
  if (vision === null) return prompts;
  const reason =
    typeof vision === 'string'
      ? vision
      : takesImages
        ? null
        : 'the device or the graph takes no images';
  if (typeof vision === 'string' || reason !== null) {
    say(`the model is served with text alone: ${reason}`);
    return prompts;
  }
  const { imageToken, borders } = vision;
  const beyond = [imageToken, ...(borders ? Object.values(borders) : [])].find(
    (token) => token >= vocabSize,
  );
  if (beyond !== undefined) {
    const what = `image token ${beyond} is beyond the vocabulary of ${vocabSize} tokens`;
    throw new OctavoError('model_file_corrupt', `${modelDir}: ${what}`);
  }
  const maxImages = maxImagesOf(settings.limitMmPerPrompt);
  if (maxImages > 0) assertFitsIntoSteps(vision, maxNumBatchedTokens, settings.maxNumSeqs);
  const { threads, encoderCacheMemory: cacheBytes = CACHE_BYTES } = settings;
  const encoder = new ImageEncoder(vision, {
    threads,
    cacheBytes,
    width: hiddenSize,
    numDeepstack,
  });
  try {
    await encoder.load();
  } catch (error) {
    await encoder.close();
    throw error;
  }
  say(`images are read as ${vision.settings.kind}, by ${vision.file}`);
  const { ImagePrompts } = await import('./image-prompts.js');
  return new ImagePrompts(prompts, encoder, model, {
    allowedDomains: settings.allowedMediaDomains,
    maxImages,
  });
}

/**
 * Tokens that attend to each other in both directions are computed in one step.
 *
 * @throws OctavoError `usage` when steps are too small for an image beside other requests
 */
function assertFitsIntoSteps(
  { isBidirectional, rowsPerPiece }: VisionModel,
  maxNumBatchedTokens: number,
  maxNumSeqs: number,
): void {
  const tokens = isBidirectional ? (rowsPerPiece ?? 0) : 0;
  const most = mostAtOnce({ maxNumBatchedTokens, maxNumSeqs });
  if (tokens <= most) return;
  throw new OctavoError(
    'usage',
    `--max-num-batched-tokens ${maxNumBatchedTokens}: one step must hold the ${tokens} tokens of an image, ` +
      `beside one of each other request (--max-num-seqs ${maxNumSeqs}); it takes ${tokens + maxNumSeqs - 1} or more, ` +
      `or --limit-mm-per-prompt '{"image": 0}' for text alone`,
  );
}
