import type { BlockId } from '../../kvcache/ids.js';
import type { SequenceId, TokenId } from '../../scheduler/ids.js';
import type { StepPlan } from '../../scheduler/step-plan.js';
import { createKernelAttention } from '../attention/kernel-attention.js';
import type { PagedAttention } from '../attention/paged-attention.js';
import type { ObservedModel } from '../importer/emit/observed-segments.js';
import { isRecurrent } from '../importer/imported-model.js';
import { planCache } from '../recurrent/cache-plan.js';
import { createRecurrentLayers } from '../recurrent/create-recurrent.js';
import { outputWidth, recurrentLayer, tensorDims } from '../recurrent/recurrence.js';
import type { RecurrentLayers } from '../recurrent/recurrent-layers.js';
import type { StepBatch } from '../runner/step-batch.js';

const BLOCK_SIZE = 16;

/** What a site makes of a sequence. */
export interface SiteOutput {
  readonly values: Float32Array;
  readonly dims: readonly number[];
}

/**
 * Attention and states of whole sequences, one at a time: each begins where there is nothing, and
 * takes the blocks of the one before it, since no layer reads another's.
 */
export class SiteLayers {
  readonly #model: ObservedModel;
  readonly #attention: PagedAttention | null;
  readonly #recurrent: RecurrentLayers | null;
  readonly #tables: readonly (readonly BlockId[])[];

  /** @param longest sequence, in tokens */
  constructor(model: ObservedModel, longest: number, threads: number) {
    const { sites, recurrent } = model;
    const format = { blockSize: BLOCK_SIZE, kvDtype: 'f32', threads } as const;
    // All blocks are there: no window needs to give any back.
    const lengths = { maxModelLength: 1, maxNumBatchedTokens: 1 };
    const layers = recurrent.map(({ recurrence }) => recurrence);
    const plan = planCache(sites, { ...format, ...lengths }, layers.map(recurrentLayer));
    const each = Math.ceil(longest / BLOCK_SIZE);
    const sizes = { ...format, numBlocks: each * plan.groups.length };
    this.#model = model;
    this.#attention = sites.length > 0 ? createKernelAttention({ layers: sites, ...sizes }) : null;
    this.#recurrent = createRecurrentLayers(layers, plan, this.#attention?.pages ?? null, sizes);
    this.#tables = plan.groups.map((_, group) =>
      Array.from({ length: each }, (__, i) => (group * each + i) as BlockId),
    );
  }

  /** A step that computes a whole sequence. */
  planOf(tokenIds: readonly TokenId[]): StepPlan {
    const blocks = Math.ceil(tokenIds.length / BLOCK_SIZE);
    const sequence = {
      id: 'calibration' as SequenceId,
      tokenIds,
      numComputed: 0,
      numProposed: 0,
      adapter: null,
      sequenceLength: tokenIds.length,
      blockTables: this.#tables.map((table) => table.slice(0, blocks)),
      sampledFor: [],
    };
    return { sequences: [sequence], numTokens: tokenIds.length, blockCopies: [] };
  }

  /** @param read gives the tensors that the site reads */
  compute(
    index: number,
    plan: StepPlan,
    batch: StepBatch,
    read: (name: string) => Float32Array,
  ): SiteOutput {
    const site = this.#model.cuts[index];
    const { numTokens } = plan;
    if (isRecurrent(site)) {
      const width = outputWidth(site.recurrence);
      const values = new Float32Array(numTokens * width);
      this.#recurrent?.beginStep(plan);
      this.#recurrent?.compute(site.layer, site.inputs.map(read), values);
      return { values, dims: tensorDims(site.recurrence, width, numTokens) };
    }
    const { layer, query, key, value } = site;
    const width = site.numHeads * site.headSize;
    const values = new Float32Array(numTokens * width);
    this.#attention?.beginStep(batch.attention);
    if (key !== null && value !== null) this.#attention?.store(layer, read(key), read(value));
    this.#attention?.attend(layer, read(query), values);
    return { values, dims: [1, numTokens, width] };
  }

  async dispose(): Promise<void> {
    await this.#attention?.dispose();
    await this.#recurrent?.dispose();
  }
}
