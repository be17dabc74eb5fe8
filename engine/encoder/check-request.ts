import { OctavoError } from '../errors.js';
import type { EngineInfo } from '../protocol/options.js';
import type { EngineRequest } from '../protocol/request.js';
import { contextExceeded } from '../text/assert-may-fit.js';

/**
 * Checks of a request to an encoder, whatever its source.
 *
 * @throws OctavoError `task_unsupported` for one that asks for anything but the model's own vector
 *   or scores; `invalid_request` for a token id outside the vocabulary, and for no tokens;
 *   `context_length_exceeded`
 */
export function checkEncoderRequest(
  { promptTokenIds, pooling, adapter, ids }: EngineRequest,
  { vocabSize, maxModelLength }: EngineInfo,
): void {
  if (pooling !== 'model' || adapter !== null || ids.length !== 1) {
    throw new OctavoError('task_unsupported', 'the model is an encoder, and generates no text');
  }
  const param = 'input';
  if (promptTokenIds.length === 0) {
    throw new OctavoError('invalid_request', 'input: must hold at least one token', { param });
  }
  if (promptTokenIds.length > maxModelLength) {
    const promptTokens = promptTokenIds.length;
    throw contextExceeded({ context: maxModelLength, promptTokens, wanted: null, param });
  }
  const alien = promptTokenIds.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize);
  if (alien === undefined) return;
  const range = `the vocabulary (0 to ${vocabSize - 1})`;
  throw new OctavoError('invalid_request', `input: token id ${alien} is outside ${range}`, {
    param,
  });
}
