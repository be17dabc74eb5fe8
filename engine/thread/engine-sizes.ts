import { OctavoError } from '../errors.js';
import type { ModelFacts } from '../importer/imported-model.js';
import type { ModelConfig } from '../model/model-config.js';
import type { EngineInfo, EngineOptions } from '../protocol/options.js';
import { type CachePlan, numBlocksIn, planCache } from '../recurrent/cache-plan.js';
import { recurrentLayer } from '../recurrent/recurrence.js';
import type { Backend } from './backend.js';
import type { DraftMemory } from './draft-model.js';

/** Begins the note about a draft model. */
export const DRAFTS = 'drafts come from';

/**
 * What an engine is, and how its cache is laid out.
 *
 * @param draft computes drafts, and shares the memory of the cache; null: nothing does
 * @throws OctavoError `kv_pool_too_small`, `usage` when the sizes cannot serve one request; states
 *   the numbers
 */
export function sizeEngine(
  options: EngineOptions,
  { model, kvDtype }: Backend,
  config: ModelConfig,
  draft: DraftMemory | null,
): { readonly plan: CachePlan; readonly info: EngineInfo } {
  const { file, hiddenSize: configured } = config;
  const hiddenSize = model.hiddenSize ?? configured;
  if (hiddenSize === null) {
    throw new OctavoError(
      'model_file_corrupt',
      `${file}: hidden_size must be stated, since the graph does not tell it`,
    );
  }
  const maxModelLength = servedLength(options, config);
  const sizes = { ...options, kvDtype, maxModelLength };
  const states = model.recurrent.map(({ recurrence }) => recurrentLayer(recurrence));
  const plan = planCache(model.sites, sizes, states);
  const bytesPerBlock = plan.bytesPerBlock + (draft?.bytesPerBlock(plan, sizes) ?? 0);
  const info = {
    vocabSize: model.vocabSize,
    hiddenSize,
    maxModelLength,
    takesImages: model.imageInputs !== null,
    ...(model.imageInputs && { numDeepstack: model.imageInputs.numDeepstack }),
    device: options.device ?? ('cpu' as const),
    ...(options.deviceFacts && { deviceFacts: options.deviceFacts }),
    kvDtype,
    blockSize: options.blockSize,
    numBlocks: numBlocksIn({ ...plan, bytesPerBlock }, options.kvCacheBytes, sizes),
    evictionPolicy: options.evictionPolicy ?? (states.length > 0 ? 'cost-aware' : 'predicted'),
    maxNumBatchedTokens: Math.min(
      options.maxNumBatchedTokens,
      model.maxStepTokens ?? Number.POSITIVE_INFINITY,
    ),
    modelNotes: [
      model.report.variant,
      ...model.report.rewrites,
      ...describeStates(plan, model),
      ...(draft ? [`${DRAFTS} ${draft.source}`] : []),
    ],
  };
  return { plan, info };
}

/** @throws OctavoError `usage` for more tokens than the model was made for */
export function servedLength(
  { maxModelLength }: EngineOptions,
  { maxPositionEmbeddings: most }: ModelConfig,
): number {
  if (maxModelLength !== null && maxModelLength > most) {
    throw new OctavoError(
      'usage',
      `--max-model-len ${maxModelLength}: the model was made for at most ${most} tokens`,
    );
  }
  return maxModelLength ?? most;
}

/** What a sequence takes besides keys and values. */
function describeStates({ states, bytesPerBlock }: CachePlan, model: ModelFacts): string[] {
  const { groups, bytesPerCheckpoint } = states;
  if (model.recurrent.length === 0) return [];
  return [
    `each sequence and each checkpoint of a prefix takes ${bytesPerCheckpoint} bytes of states, ` +
      `in ${groups.length} blocks of ${bytesPerBlock} bytes`,
  ];
}
