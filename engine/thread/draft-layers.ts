import { buildDraftLayers } from '../architectures/build-draft-layers.js';
import { describeEagle } from '../architectures/draft-layers/describe-eagle.js';
import { describeMtp } from '../architectures/draft-layers/describe-mtp.js';
import type { DescribedDraftLayers } from '../architectures/draft-layers/draft-layers.js';
import { createKernelAttention } from '../attention/kernel-attention.js';
import { bytesPerBlock, fullLayout } from '../attention/page-layout.js';
import type { KvDtype } from '../attention/paged-attention.js';
import { isGgufFile } from '../checkpoint/gguf-files.js';
import { clip } from '../clip.js';
import type { ModelEnds } from '../core/model-ends.js';
import { OctavoError } from '../errors.js';
import type { ImportedDraftLayer } from '../importer/emit/draft-segments.js';
import type { ModelFacts } from '../importer/imported-model.js';
import { checkpointOf } from '../model/open-model.js';
import type { EngineInfo, EngineOptions, LayerSpeculation } from '../protocol/options.js';
import type { CachePlan } from '../recurrent/cache-plan.js';
import { DraftLayerRunner } from '../runner/draft-layer-runner.js';
import { KEPT_ROWS } from '../speculation/draft-layers/hidden-rows.js';
import { LayerDrafter } from '../speculation/draft-layers/layer-drafter.js';
import { MissingPages } from '../speculation/draft-layers/missing-pages.js';
import type { ComputingOptions } from '../speculation/speculator.js';
import { StepCosts } from '../speculation/step-costs.js';
import type { BackendRequest } from './backend.js';
import type { DraftMemory } from './draft-model.js';
import { importOptions } from './import-options.js';
import { measureDrafts } from './measure-drafts.js';

/** Layers that draft, read and without memory for their pages yet. */
export interface OpenedDraftLayers {
  readonly source: string;
  readonly stages: readonly [ImportedDraftLayer, ...ImportedDraftLayer[]];
  readonly hiddenSize: number;
  readonly maxDraftTokens: number;
  readonly weightBytes: number;
}

export interface StartedDraftLayers extends ComputingOptions {
  readonly drafter: LayerDrafter;
  dispose(): Promise<void>;
}

/** Sequences that are drafted at one time, at most. */
const MOST_DRAFTED = 64;

/**
 * Opens the layers with the options of the engine that they draft for.
 *
 * @param model of that engine
 * @throws OctavoError `model_unsupported` for layers of another model; and what reading them throws
 */
export async function openDraftLayers(
  request: BackendRequest,
  speculation: LayerSpeculation,
  model: ModelFacts,
): Promise<OpenedDraftLayers> {
  const { dir, described } = await describeLayers(speculation, request.options);
  checkSizes(dir, described, request, model);
  const { quantize, activations, widen } = importOptions(request);
  const [first, ...others] = await buildDraftLayers(described, {
    servedLength: model.servedLength,
    ...(quantize && { quantize }),
    ...(activations && { activations }),
    ...(widen && { widen }),
  });
  const stages = [first, ...others] as const;
  return {
    source: `${dir}: ${described.layers.family}`,
    stages,
    hiddenSize: described.layers.hiddenSize,
    maxDraftTokens: speculation.maxDraftTokens,
    weightBytes: stages.reduce((sum, stage) => sum + stage.weightBytes, 0),
  };
}

async function describeLayers(
  speculation: LayerSpeculation,
  options: EngineOptions,
): Promise<{ readonly dir: string; readonly described: DescribedDraftLayers }> {
  if (speculation.method === 'eagle') {
    const { dir } = speculation.model;
    return { dir, described: await describeEagle(dir) };
  }
  const { modelDir: dir } = options;
  const entry = isGgufFile(dir) ? null : await checkpointOf(options);
  if (entry !== null) return { dir, described: await describeMtp(dir, entry) };
  throw new OctavoError(
    'model_unsupported',
    `--speculative-config: "mtp" reads the prediction head of safetensors, and ${clip(dir)} is served from ${isGgufFile(dir) ? 'GGUF' : 'ONNX'}`,
    { param: '--speculative-config' },
  );
}

function checkSizes(
  dir: string,
  { layers }: DescribedDraftLayers,
  { config }: BackendRequest,
  { hiddenSize, vocabSize }: ModelFacts,
): void {
  const refuse = (what: string, own: number, model: number): OctavoError =>
    new OctavoError(
      'model_unsupported',
      `--speculative-config: ${clip(dir)} was made for another model: its ${what} is ${own}, that of the model ${model}`,
    );
  const hidden = hiddenSize ?? config.hiddenSize ?? layers.hiddenSize;
  if (layers.hiddenSize !== hidden) throw refuse('hidden_size', layers.hiddenSize, hidden);
  const vocab = config.vocabSize ?? vocabSize;
  if (layers.vocabSize !== vocab && layers.vocabSize !== vocabSize) {
    throw refuse('vocab_size', layers.vocabSize, vocab);
  }
}

/** Their pages, and the hidden rows that are kept of each block. */
export function draftLayersMemory(
  { stages, hiddenSize, source }: OpenedDraftLayers,
  { blockSize, kvDtype = 'f32' }: EngineOptions,
): DraftMemory {
  const pages = pageBytes(stages[0], blockSize, kvDtype);
  const rows = KEPT_ROWS * hiddenSize * Float32Array.BYTES_PER_ELEMENT;
  return { bytesPerBlock: () => pages + rows, source };
}

function pageBytes({ site }: ImportedDraftLayer, blockSize: number, kvDtype: KvDtype): number {
  return bytesPerBlock([site], fullLayout([site]), blockSize, kvDtype);
}

/** Where layers that draft run. */
export interface DraftLayersStart {
  readonly ends: ModelEnds;
  /** Of the engine that they draft for; the same for the next one. */
  readonly plan: CachePlan;
  readonly info: EngineInfo;
  readonly options: EngineOptions;
  /** Monotonic, milliseconds. */
  readonly now: () => number;
}

/**
 * Gives the layers their pages, and measures what their runs cost. From then on, they read each
 * step of the model.
 *
 * @throws OctavoError `model_unsupported` for a model without block tables to follow
 */
export async function startDraftLayers(
  { stages, hiddenSize, maxDraftTokens }: OpenedDraftLayers,
  { ends, plan, info, options, now }: DraftLayersStart,
): Promise<StartedDraftLayers> {
  const { blockSize, threads, kvDtype = 'f32', maxNumSeqs } = options;
  const { numBlocks, vocabSize, maxModelLength } = info;
  const group = groupOf(plan);
  // A draft may begin in the last slot of a block.
  const perDraft = Math.ceil((blockSize - 1 + maxDraftTokens) / blockSize);
  const numDraftBlocks = perDraft * Math.min(maxNumSeqs, MOST_DRAFTED);
  const missing = new MissingPages();
  const { site } = stages[0];
  const attention = createKernelAttention({
    layers: [site],
    numBlocks: numBlocks + numDraftBlocks,
    blockSize,
    threads,
    kvDtype,
    selector: missing,
  });
  const layers = await DraftLayerRunner.create(stages, attention, hiddenSize, threads);
  const costs = new StepCosts(await measureDrafts(ends, layers, now));
  const blocks = { group, blockSize, numBlocks, numDraftBlocks };
  const sizes = { vocabSize, maxLength: maxModelLength };
  const drafter = new LayerDrafter({ ends, layers, missing, ...blocks, ...sizes });
  return { drafter, costs, dispose: () => layers.dispose() };
}

/** The group whose tables say most: those of windows have holes behind them. */
function groupOf({ groups }: CachePlan): number {
  for (const kind of ['full', 'sliding-window']) {
    const group = groups.findIndex((candidate) => candidate.kind === kind);
    if (group >= 0) return group;
  }
  throw new OctavoError(
    'model_unsupported',
    '--speculative-config: no layers can draft behind a model without attention',
    { param: '--speculative-config' },
  );
}
