import { statSync } from 'node:fs';
import type { TokenId } from '../../scheduler/ids.js';
import { OctavoError } from '../errors.js';
import { contentFiles } from '../model/open-model.js';
import type { EngineInfo, EngineOptions } from '../protocol/options.js';
import { assertWithinMemory } from '../thread/memory-limit.js';
import { type Encoder, openEncoder } from './encoder.js';

export interface LoadedEncoder {
  readonly encoder: Encoder;
  readonly info: EngineInfo;
}

/**
 * Loads an encoder for an engine's thread, and computes something, so that what is wrong shows at
 * once.
 *
 * @throws OctavoError `model_file_missing`, `model_file_corrupt`, `model_unsupported`,
 *   `system_limit`; `usage` for settings that an encoder cannot have
 */
export async function loadEncoder(options: EngineOptions): Promise<LoadedEncoder> {
  const { device = 'cpu', pooling, maxNumBatchedTokens } = options;
  if (device !== 'cpu') {
    throw new OctavoError(
      'model_unsupported',
      `an encoder is computed on the CPU, not by ${device}`,
    );
  }
  assertWithinMemory({ kvCacheBytes: 0, weightBytes: bytesOf(await contentFiles(options)) });
  const encoder = await openEncoder({ ...options, ...(pooling !== undefined && { pooling }) });
  const { maxLength, vocabSize, padTokenId } = encoder.config;
  const maxModelLength = options.maxModelLength ?? maxLength;
  if (maxModelLength > maxLength) {
    await encoder.release();
    throw new OctavoError(
      'usage',
      `--max-model-len ${maxModelLength}: the model reads texts of at most ${maxLength} tokens`,
    );
  }
  const notes = [...encoder.notes];
  if (options.quantize) notes.push('--quantize is for decoders: the encoder is as its file has it');
  if (encoder.runsAlone) notes.push('texts are computed one at a time: the graph mixes them');
  const info: EngineInfo = {
    vocabSize,
    hiddenSize: encoder.width,
    maxModelLength,
    device,
    kvDtype: 'f32',
    blockSize: 1,
    numBlocks: 0,
    // Of no block.
    evictionPolicy: 'lru',
    maxNumBatchedTokens,
    encoder: {
      task: encoder.task,
      ...(encoder.task === 'score' && { activation: encoder.config.activation }),
    },
    modelNotes: notes,
  };
  // ONNX Runtime then has the memory for all usual batches.
  const length = Math.min(maxModelLength, maxNumBatchedTokens);
  await encoder.encode([{ tokenIds: Array.from({ length }, () => padTokenId as TokenId) }]);
  return { encoder, info };
}

function bytesOf(files: readonly string[]): number {
  return files.reduce(
    (sum, name) => sum + (statSync(name, { throwIfNoEntry: false })?.size ?? 0),
    0,
  );
}
