import type { TokenId } from '../../scheduler/ids.js';
import { OctavoError } from '../errors.js';
import { truncateAndNormalize } from '../generation/normalize.js';
import { outputBudget } from '../generation/output-budget.js';
import { PLAIN_REQUEST, type Pooling } from '../protocol/request.js';
import { GREEDY } from '../sampling/sampling-params.js';
import type { EngineParts } from './engine-parts.js';
import type { EmbedOptions } from './options.js';
import { encodeText } from './prompts.js';
import { adapterOf, askerOf, newId } from './requests.js';
import { beginWork } from './run.js';

/** @throws OctavoError `invalid_request` for a pooling of an encoder, whose files say it */
function poolingOf({ pooling }: EmbedOptions, { port, settings }: EngineParts): Pooling {
  if (!port.info.encoder) return pooling ?? (settings.pooling === 'mean' ? 'mean' : 'last');
  if (pooling === undefined) return 'model';
  const message = 'pooling: an encoder has its own, which createEngine takes';
  throw new OctavoError('invalid_request', message, { param: 'pooling' });
}

/**
 * @returns vectors of length 1, one for each text
 * @throws OctavoError `invalid_request`, `context_length_exceeded`, `engine_failed`; the reason of
 *   an aborted signal
 */
export async function embedTexts(
  texts: readonly string[],
  options: EmbedOptions,
  parts: EngineParts,
): Promise<Float32Array[]> {
  const { port } = parts;
  const { hiddenSize, maxModelLength } = port.info;
  const { dimensions = hiddenSize } = options;
  const pooling = poolingOf(options, parts);
  if (dimensions > hiddenSize) {
    const message = `dimensions is ${dimensions}, but the model's embeddings have ${hiddenSize}`;
    throw new OctavoError('invalid_request', message, { param: 'dimensions' });
  }
  const adapter = adapterOf(options, port);
  const prompts: TokenId[][] = [];
  for (const text of texts) {
    const tokenIds = await encodeText(text, parts, askerOf(options));
    // Nothing is generated, so a prompt may fill the whole context.
    const needs = { promptTokens: tokenIds.length, asked: null, standard: 0 } as const;
    outputBudget({ ...needs, context: maxModelLength + 1, param: 'prompt' });
    prompts.push(tokenIds);
  }
  const { signal, end } = beginWork(options.signal);
  const embed = async (promptTokenIds: (typeof prompts)[number]): Promise<Float32Array> => {
    const request = {
      ids: [newId()],
      promptTokenIds,
      maxTokens: 0,
      stopTokenIds: [],
      ...PLAIN_REQUEST,
      sampling: GREEDY,
      pooling,
      adapter,
    };
    for await (const { embedding, finishReason } of port.submit(request, signal)[0]) {
      if (finishReason === 'abort') throw signal.reason;
      if (embedding) return truncateAndNormalize(embedding, dimensions);
    }
    throw new Error('the engine gave no embedding');
  };
  try {
    return await Promise.all(prompts.map(embed));
  } finally {
    end();
  }
}
