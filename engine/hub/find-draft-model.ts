import { clip } from '../clip.js';
import { OctavoError } from '../errors.js';
import type { ModelPlace } from '../protocol/options.js';
import { parseSpeculativeConfig } from '../speculation/speculative-config.js';
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
export async function findDraftModel(
  speculativeConfig: string | undefined,
  observer: FetchObserver,
): Promise<ModelPlace | null> {
  const config = speculativeConfig === undefined ? null : parseSpeculativeConfig(speculativeConfig);
  if (!config || !('model' in config)) return null;
  const wish = { dtype: 'auto', needsTokenizer: config.method === 'draft_model' } as const;
  const { dir, file } = await findModel(config.model, FLAG, wish, observer);
  return { dir, ...(file !== undefined && { file }) };
}

/**
 * The same of a model that is about to be served, whose tokens the draft model must have. (Layers
 * have no tokenizer: they are read with the model.)
 *
 * @throws OctavoError also `usage` for another tokenizer
 */
export async function findDraftModelFor(
  { tokenizer }: { readonly tokenizer: Tokenizer },
  speculativeConfig: string | undefined,
  observer: FetchObserver,
): Promise<ModelPlace | null> {
  const found = await findDraftModel(speculativeConfig, observer);
  const isModel =
    speculativeConfig !== undefined &&
    parseSpeculativeConfig(speculativeConfig).method === 'draft_model';
  if (!isModel) return found;
  const difference = found && differenceOf(tokenizer, await loadTokenizer(found.dir));
  if (difference === null) return found;
  throw new OctavoError(
    'usage',
    `${FLAG}: the draft model ${clip(found?.dir ?? '')} has another tokenizer than the model: ${difference}. ` +
      'It must have the same vocabulary and the same special tokens',
    { param: FLAG },
  );
}
