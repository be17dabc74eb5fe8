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
 * Finds the draft model that `--speculative-config` names, as `findModel` does.
 *
 * @returns null when the setting names none
 * @throws OctavoError what `parseSpeculativeConfig` and `findModel` throw
 */
export async function findDraftModel(
  speculativeConfig: string | undefined,
  observer: FetchObserver,
): Promise<ModelPlace | null> {
  const config = speculativeConfig === undefined ? null : parseSpeculativeConfig(speculativeConfig);
  if (config?.method !== 'draft_model') return null;
  const { dir, file } = await findModel(config.model, FLAG, { dtype: 'auto' }, observer);
  return { dir, ...(file !== undefined && { file }) };
}

/**
 * The same of a model that is about to be served, whose tokens the draft model must have.
 *
 * @throws OctavoError also `usage` for another tokenizer
 */
export async function findDraftModelFor(
  { tokenizer }: { readonly tokenizer: Tokenizer },
  speculativeConfig: string | undefined,
  observer: FetchObserver,
): Promise<ModelPlace | null> {
  const found = await findDraftModel(speculativeConfig, observer);
  const difference = found && differenceOf(tokenizer, await loadTokenizer(found.dir));
  if (difference === null) return found;
  throw new OctavoError(
    'usage',
    `${FLAG}: the draft model ${clip(found?.dir ?? '')} has another tokenizer than the model: ${difference}. ` +
      'It must have the same vocabulary and the same special tokens',
    { param: FLAG },
  );
}
