import { clip } from '../clip.js';
import { OctavoError } from '../errors.js';
import type { ModelPlace } from '../protocol/options.js';
import {
  parseSpeculativeConfig,
  type SpeculativeConfig,
} from '../speculation/speculative-config.js';
import { loadTokenizer } from '../text/hf-tokenizer.js';
import { differenceOf } from '../text/same-tokens.js';
import type { Tokenizer } from '../text/tokenizer.js';
import type { FetchObserver } from './fetch-model.js';
import { findModel } from './find-model.js';

const FLAG = '--speculative-config';

/**
 * Finds the draft model, or the layers, that `--speculative-config` names, as `findModel` does.
 *
 * @returns null when the setting names none
 * @throws OctavoError what `parseSpeculativeConfig` and `findModel` throw
 */
export function findDraftModel(
  speculativeConfig: string | undefined,
  observer: FetchObserver,
): Promise<ModelPlace | null> {
  return findNamed(configOf(speculativeConfig), observer);
}

/**
 * The same of a model that is about to be served, whose tokens the draft model must have. (Layers
 * have no tokenizer: they are read with the model.)
 *
 * @param served the model; asked for where tokens are compared
 * @throws OctavoError also `usage` for another tokenizer
 */
export async function findDraftModelFor(
  served: () => Promise<{ readonly tokenizer: Tokenizer }>,
  speculativeConfig: string | undefined,
  observer: FetchObserver,
): Promise<ModelPlace | null> {
  const config = configOf(speculativeConfig);
  const found = await findNamed(config, observer);
  if (found === null || config?.method !== 'draft_model') return found;
  const { tokenizer } = await served();
  const difference = differenceOf(tokenizer, await loadTokenizer(found.dir));
  if (difference === null) return found;
  throw new OctavoError(
    'usage',
    `${FLAG}: the draft model ${clip(found.dir)} has another tokenizer than the model: ${difference}. ` +
      'It must have the same vocabulary and the same special tokens',
    { param: FLAG },
  );
}

const configOf = (text: string | undefined): SpeculativeConfig | null =>
  text === undefined ? null : parseSpeculativeConfig(text);

async function findNamed(
  config: SpeculativeConfig | null,
  observer: FetchObserver,
): Promise<ModelPlace | null> {
  if (!config || !('model' in config)) return null;
  const wish = { dtype: 'auto', needsTokenizer: config.method === 'draft_model' } as const;
  const { dir, file } = await findModel(config.model, FLAG, wish, observer);
  return { dir, ...(file !== undefined && { file }) };
}
