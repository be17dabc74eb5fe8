import { Tensor } from 'onnxruntime-node';
import type { BlockLoad } from '../../kvcache/tier-contents.js';
import type { StepPlan } from '../../scheduler/step-plan.js';
import type { PagedAttention } from '../attention/paged-attention.js';
import type { ModelRunner, RunnerTimings } from '../core/model-runner.js';
import type { LogitsQuery, LogitsResult } from '../decoding/logits-query.js';
import type { AttentionSite, ImportedModel } from '../importer/imported-model.js';
import { freeBuffers, type Lifetimes, lifetimes } from './lifetimes.js';
import { joinAnswers, piecesOf, readAnswer, rowTensors } from './logits-tensors.js';
import { checkRows } from './row-check/check-rows.js';
import { type LoadedSegment, loadSegments } from './segment-session.js';
import { buildStepBatch } from './step-batch.js';
import { floats, stepTensors, take, ZeroPoints } from './tensors.js';

export interface SegmentRunnerOptions {
  /** ONNX Runtime's threads inside one operator. */
  readonly threads: number;
  /** Monotonic, milliseconds; for `timings`. Absent: the process' own clock. */
  readonly now?: () => number;
  /** Writes a plan's loads into the pages; absent for a cache without tiers. */
  readonly loadBlocks?: (loads: readonly BlockLoad[]) => void;
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
 * Runs an imported model: segment, attention, segment, attention, ..., ranked logits. The attention
 * is owned by the runner from its creation on.
 */
export class SegmentRunner implements ModelRunner {
  readonly #segments: readonly LoadedSegment[];
  readonly #sites: readonly AttentionSite[];
  readonly #attention: PagedAttention;
  readonly #maxLogitRows: number;
  readonly #lifetimes: Lifetimes;
  readonly #now: () => number;
  readonly #loadBlocks: SegmentRunnerOptions['loadBlocks'];
  readonly #zeroPoints = new ZeroPoints();
  /** One buffer for all sites whose output is read by the next segment alone. */
  #attentionOutput = new Float32Array(0);
  #disposed = false;
  #timings: RunnerTimings = { segments: 0, attention: 0 };

  private constructor(
    segments: readonly LoadedSegment[],
    model: ImportedModel,
    attention: PagedAttention,
    options: SegmentRunnerOptions,
  ) {
    const { maxLogitBytes = MAX_LOGIT_BYTES, now = () => performance.now() } = options;
    this.#loadBlocks = options.loadBlocks;
    this.#segments = segments;
    this.#sites = model.sites;
    this.#attention = attention;
    this.#now = now;
    this.#lifetimes = lifetimes(segments, model.sites);
    this.#maxLogitRows = Math.max(1, Math.floor(maxLogitBytes / (4 * model.vocabSize)));
  }

  /**
   * @throws OctavoError `model_unsupported` when ONNX Runtime refuses a segment, or tokens of
   *   different sequences would mix
   */
  static async create(
    model: ImportedModel,
    attention: PagedAttention,
    options: SegmentRunnerOptions,
  ): Promise<SegmentRunner> {
    const segments = await loadSegments(model, options.threads);
    try {
      await checkRows(model, segments);
    } catch (error) {
      for (const { session } of segments) await session.release();
      throw error;
    }
    return new SegmentRunner(segments, model, attention, options);
  }

  get timings(): RunnerTimings {
    return this.#timings;
  }

  async execute(plan: StepPlan, query: LogitsQuery): Promise<LogitsResult> {
    for (const copy of plan.blockCopies) this.#attention.pages.copy(copy.from, copy.to);
    if (plan.blockLoads) this.#load(plan.blockLoads);
    const batch = buildStepBatch(plan);
    this.#attention.beginStep(batch.attention);
    const tensors = stepTensors(batch, this.#zeroPoints);
    let [segments, attention] = [0, 0];
    for (const [index, site] of this.#sites.entries()) {
      const start = this.#now();
      await this.#run(this.#segments[index], tensors);
      free(tensors, this.#lifetimes.afterSegment[index]);
      const computed = this.#now();
      tensors.set(site.output, this.#attend(index, tensors, batch.numTokens));
      free(tensors, this.#lifetimes.afterSite[index]);
      segments += computed - start;
      attention += this.#now() - computed;
    }
    const start = this.#now();
    const answers: LogitsResult[] = [];
    // In the middle of a long prompt nothing is asked, and nothing else reads what the last segment
    // computes.
    for (const piece of piecesOf(query, this.#maxLogitRows)) {
      for (const [name, tensor] of rowTensors(piece)) tensors.set(name, tensor);
      await this.#run(this.#segments[this.#sites.length], tensors);
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
    await this.#attention.dispose();
    for (const { session } of this.#segments) await session.release();
  }

  /** Reads its inputs from `tensors` and puts its outputs there. */
  async #run(segment: LoadedSegment, tensors: Map<string, Tensor>): Promise<void> {
    const feeds = Object.fromEntries(segment.inputs.map((name) => [name, take(tensors, name)]));
    const results = await segment.session.run(feeds, segment.outputs);
    for (const name of segment.outputs) tensors.set(name, results[name]);
  }

  #load(loads: readonly BlockLoad[]): void {
    if (!this.#loadBlocks) throw new Error('the plan loads blocks, and there are no tiers');
    this.#loadBlocks(loads);
  }

  #attend(index: number, tensors: ReadonlyMap<string, Tensor>, numTokens: number): Tensor {
    const site = this.#sites[index];
    const width = site.numHeads * site.headSize;
    const size = numTokens * width;
    const output = this.#lifetimes.isLent[index] ? this.#lend(size) : new Float32Array(size);
    const read = (name: string): Float32Array => floats(take(tensors, name));
    // A layer over another one's pages has none of its own.
    if (site.key !== null && site.value !== null) {
      this.#attention.store(site.layer, read(site.key), read(site.value));
    }
    this.#attention.attend(site.layer, read(site.query), output);
    return new Tensor('float32', output, [1, numTokens, width]);
  }

  #lend(size: number): Float32Array {
    if (this.#attentionOutput.length < size) this.#attentionOutput = new Float32Array(size);
    return this.#attentionOutput.subarray(0, size);
  }
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
