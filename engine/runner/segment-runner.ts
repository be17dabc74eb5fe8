import { Tensor } from 'onnxruntime-node';
import type { BlockLoad } from '../../kvcache/tier-contents.js';
import type { StepPlan } from '../../scheduler/step-plan.js';
import type { AdapterFeeds } from '../adapters/adapter-feeds.js';
import type { AdapterStack } from '../adapters/adapter-stack.js';
import type { BlockStore } from '../attention/block-store.js';
import type { PagedAttention } from '../attention/paged-attention.js';
import type { ImageStore } from '../core/image-store.js';
import type { ModelRunner, RunnerTimings } from '../core/model-runner.js';
import type { LogitsQuery, LogitsResult } from '../decoding/logits-query.js';
import { freeBuffers } from '../free-buffers.js';
import {
  type AttentionSite,
  type CutSite,
  type ImportedModel,
  isRecurrent,
  type RecurrentSite,
} from '../importer/imported-model.js';
import { outputWidth, tensorDims } from '../recurrent/recurrence.js';
import type { RecurrentLayers } from '../recurrent/recurrent-layers.js';
import { imageTensors, NO_IMAGES } from './image-tensors.js';
import { type Lifetimes, lifetimes } from './lifetimes.js';
import { joinAnswers, piecesOf, readAnswer, rowTensors } from './logits-tensors.js';
import { checkRows } from './row-check/check-rows.js';
import { SegmentEnds } from './segment-ends.js';
import { type LoadedSegment, loadSegments } from './segment-session.js';
import { buildStepBatch } from './step-batch.js';
import { floats, stepTensors, take, ZeroPoints } from './tensors.js';

export interface SegmentRunnerOptions {
  /** ONNX Runtime's threads inside one operator. */
  readonly threads: number;
  /** Monotonic, milliseconds; for `timings`. Absent: the process' own clock. */
  readonly now?: () => number;
  /** Writes a plan's loads into the pages; absent for a cache without tiers. */
  readonly loadBlocks?: (loads: readonly BlockLoad[]) => Promise<void>;
  /** The matrices of adapters; absent for a model that takes none. */
  readonly adapters?: AdapterStack;
  /** Computes the layers that keep a state; absent for a model without any. */
  readonly recurrent?: RecurrentLayers;
  /** Has the images of sequences; absent for a model that takes none. */
  readonly images?: ImageStore;
  /** Logits that exist at one time, at most; for tests. */
  readonly maxLogitBytes?: number;
}

/**
 * Logits of one run of the last segment, at most: a prompt whose log-probabilities are wanted has a
 * row for each token, and 512 rows of 151,936 would be 311 MB, more than once. (Each run computes
 * what follows the last attention again, for all tokens of the step.)
 */
const MAX_LOGIT_BYTES = 64 * 2 ** 20;

/**
 * Runs an imported model: segment, attention, segment, attention, ..., ranked logits. In the place
 * of attention, there may be a layer with a state. The runner owns both from its creation on.
 */
export class SegmentRunner implements ModelRunner {
  readonly canCopyBlocks = true;
  /** Null for a model whose ends are not open. */
  readonly ends: SegmentEnds | null;
  readonly #segments: readonly LoadedSegment[];
  readonly #sites: readonly CutSite[];
  readonly #attention: PagedAttention | null;
  readonly #recurrent: RecurrentLayers | null;
  readonly #adapters: AdapterStack | null;
  readonly #blocks: BlockStore;
  readonly #maxLogitRows: number;
  readonly #lifetimes: Lifetimes;
  readonly #now: () => number;
  readonly #loadBlocks: SegmentRunnerOptions['loadBlocks'];
  readonly #zeroPoints = new ZeroPoints();
  readonly #imageInputs: ImportedModel['imageInputs'];
  readonly #images: Pick<ImageStore, 'get'>;
  /** One buffer for all sites whose output is read by the next segment alone. */
  #siteOutput = new Float32Array(0);
  #disposed = false;
  #timings: RunnerTimings = { segments: 0, attention: 0 };

  private constructor(
    segments: readonly LoadedSegment[],
    ends: SegmentEnds | null,
    model: ImportedModel,
    attention: PagedAttention | null,
    options: SegmentRunnerOptions & { readonly maxLogitRows: number },
  ) {
    const { now = () => performance.now() } = options;
    this.ends = ends;
    this.#loadBlocks = options.loadBlocks;
    this.#imageInputs = model.imageInputs;
    this.#images = options.images ?? NO_IMAGES;
    this.#segments = segments;
    this.#sites = model.cuts;
    this.#attention = attention;
    this.#recurrent = options.recurrent ?? null;
    this.#adapters = options.adapters ?? null;
    this.#blocks = blocksOf(model, attention, this.#recurrent);
    this.#now = now;
    this.#lifetimes = lifetimes(segments, model.cuts);
    this.#maxLogitRows = options.maxLogitRows;
  }

  /**
   * @param attention null for a model without attention
   * @throws OctavoError `model_unsupported` when ONNX Runtime refuses a segment, or tokens of
   *   different sequences would mix
   */
  static async create(
    model: ImportedModel,
    attention: PagedAttention | null,
    options: SegmentRunnerOptions,
  ): Promise<SegmentRunner> {
    const { threads, maxLogitBytes = MAX_LOGIT_BYTES } = options;
    const segments = await loadSegments(model, threads);
    try {
      await checkRows(model, segments);
      const maxLogitRows = Math.max(1, Math.floor(maxLogitBytes / (4 * model.vocabSize)));
      const ends = await SegmentEnds.create(model, segments, threads, maxLogitRows);
      return new SegmentRunner(segments, ends, model, attention, { ...options, maxLogitRows });
    } catch (error) {
      for (const { session } of segments) await session.release();
      throw error;
    }
  }

  get timings(): RunnerTimings {
    return this.#timings;
  }

  /** The blocks of all layers. */
  get blocks(): BlockStore {
    return this.#blocks;
  }

  async execute(plan: StepPlan, query: LogitsQuery): Promise<LogitsResult> {
    for (const copy of plan.blockCopies) this.#blocks.copy(copy.from, copy.to);
    if (plan.blockLoads) await this.#load(plan.blockLoads);
    const batch = buildStepBatch(plan);
    this.#attention?.beginStep(batch.attention);
    this.#recurrent?.beginStep(plan);
    const tensors = stepTensors(batch, this.#zeroPoints);
    for (const [name, tensor] of this.#imageTensors(plan)) tensors.set(name, tensor);
    const adapters = this.#adapterFeeds(plan);
    let [segments, attention] = [0, 0];
    for (const [index, site] of this.#sites.entries()) {
      const start = this.#now();
      await this.#run(this.#segments[index], tensors, adapters);
      free(tensors, this.#lifetimes.afterSegment[index]);
      const computed = this.#now();
      tensors.set(site.output, this.#compute(index, tensors, batch.numTokens));
      free(tensors, this.#lifetimes.afterSite[index]);
      segments += computed - start;
      attention += this.#now() - computed;
    }
    const start = this.#now();
    if (this.ends) {
      await this.#run(this.#segments[this.#sites.length], tensors, adapters);
      await this.ends.pass(plan, tensors);
    }
    const answers: LogitsResult[] = [];
    // In the middle of a long prompt nothing is asked, and nothing else reads what the last segment
    // computes.
    for (const piece of piecesOf(query, this.#maxLogitRows)) {
      for (const [name, tensor] of rowTensors(piece)) tensors.set(name, tensor);
      await this.#run(this.#segments[this.#segments.length - 1], tensors, adapters);
      answers.push(readAnswer(tensors, piece));
    }
    free(tensors, this.#lifetimes.afterSegment[this.#sites.length]);
    segments += this.#now() - start;
    this.#timings = { segments, attention };
    return joinAnswers(answers, this.#maxLogitRows);
  }

  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    await this.#attention?.dispose();
    await this.#recurrent?.dispose();
    await this.ends?.dispose();
    for (const { session } of this.#segments) await session.release();
  }

  /** Reads its inputs from `tensors` and puts its outputs there. */
  async #run(
    segment: LoadedSegment,
    tensors: Map<string, Tensor>,
    adapters: AdapterFeeds | null,
  ): Promise<void> {
    const feeds = Object.fromEntries(segment.inputs.map((name) => [name, take(tensors, name)]));
    for (const [name, nothing] of Object.entries(segment.noAdapters)) {
      feeds[name] = adapters?.get(name) ?? nothing;
    }
    const results = await segment.session.run(feeds, segment.outputs);
    for (const name of segment.outputs) tensors.set(name, results[name]);
  }

  /** Null for a step without any row that has an adapter. */
  #adapterFeeds({ sequences }: StepPlan): AdapterFeeds | null {
    const rows: number[] = [];
    const contents: string[] = [];
    let row = 0;
    for (const { tokenIds, adapter } of sequences) {
      for (const end = row + tokenIds.length; row < end; row++) {
        if (adapter === null) continue;
        rows.push(row);
        contents.push(adapter);
      }
    }
    if (rows.length === 0) return null;
    if (!this.#adapters) throw new Error('the plan has adapters, and there are none');
    return this.#adapters.feeds(rows, contents);
  }

  async #load(loads: readonly BlockLoad[]): Promise<void> {
    if (!this.#loadBlocks) throw new Error('the plan loads blocks, and there are no tiers');
    await this.#loadBlocks(loads);
  }

  #imageTensors(plan: StepPlan): ReadonlyMap<string, Tensor> {
    if (!this.#imageInputs) return new Map();
    return imageTensors(plan, this.#imageInputs, this.#images);
  }

  /** The output of a site. */
  #compute(index: number, tensors: ReadonlyMap<string, Tensor>, numTokens: number): Tensor {
    const site = this.#sites[index];
    const width = widthOf(site);
    const size = numTokens * width;
    const output = this.#lifetimes.isLent[index] ? this.#lend(size) : new Float32Array(size);
    if (isRecurrent(site)) {
      this.#recur(site, tensors, output);
      return new Tensor('float32', output, tensorDims(site.recurrence, width, numTokens));
    }
    this.#attend(site, tensors, output);
    return new Tensor('float32', output, [1, numTokens, width]);
  }

  #attend(site: AttentionSite, tensors: ReadonlyMap<string, Tensor>, output: Float32Array): void {
    const attention = this.#attention;
    if (!attention) throw new Error('the model attends, and there is no attention');
    const read = (name: string): Float32Array => floats(take(tensors, name));
    const { layer, query, key, value, packed } = site;
    if (packed !== undefined) {
      attention.attendPacked(layer, read(packed), output);
      return;
    }
    // A layer over another one's pages has none of its own.
    if (key !== null && value !== null) attention.store(layer, read(key), read(value));
    attention.attend(layer, read(query), output);
  }

  #recur(
    { layer, inputs }: RecurrentSite,
    tensors: ReadonlyMap<string, Tensor>,
    output: Float32Array,
  ): void {
    const read = inputs.map((name) => floats(take(tensors, name)));
    this.#recurrent?.compute(layer, read, output);
  }

  #lend(size: number): Float32Array {
    if (this.#siteOutput.length < size) this.#siteOutput = new Float32Array(size);
    return this.#siteOutput.subarray(0, size);
  }
}

function widthOf(site: CutSite): number {
  return isRecurrent(site) ? outputWidth(site.recurrence) : site.numHeads * site.headSize;
}

/** The blocks of all layers: states lie over pages. */
function blocksOf(
  model: ImportedModel,
  attention: PagedAttention | null,
  recurrent: RecurrentLayers | null,
): BlockStore {
  const isComplete =
    model.sites.length > 0 === (attention !== null) &&
    model.recurrent.length > 0 === (recurrent !== null);
  const blocks = recurrent?.store ?? attention?.pages;
  if (isComplete && blocks) return blocks;
  throw new Error('a model needs an attention for its attention, and states for its states');
}

/** Forgets tensors that ONNX Runtime made for this step alone. */
function free(tensors: Map<string, Tensor>, names: readonly string[]): void {
  const buffers: ArrayBuffer[] = [];
  for (const name of names) {
    const { data } = take(tensors, name);
    if (ArrayBuffer.isView(data) && data.buffer instanceof ArrayBuffer) buffers.push(data.buffer);
    tensors.delete(name);
  }
  freeBuffers(buffers);
}
