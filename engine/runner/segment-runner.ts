import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { StepPlan } from '../../scheduler/step-plan.js';
import type { PagedAttention } from '../attention/paged-attention.js';
import type { ModelRunner, RunnerTimings } from '../core/model-runner.js';
import { OctavoError } from '../errors.js';
import {
  type AttentionSite,
  type ImportedModel,
  LOGITS,
  type Segment,
  STEP_INPUT,
} from '../importer/imported-model.js';
import { buildStepBatch, type StepBatch } from './step-batch.js';

export interface SegmentRunnerOptions {
  /** ONNX Runtime's threads inside one operator. */
  readonly threads: number;
}

/**
 * Runs an imported model: segment, attention, segment, attention, ..., logits. The attention is owned by the runner
 * from its creation on.
 */
export class SegmentRunner implements ModelRunner {
  readonly #segments: readonly LoadedSegment[];
  readonly #sites: readonly AttentionSite[];
  readonly #attention: PagedAttention;
  /** One buffer for all layers: a segment has read a site's output before the next site writes. */
  #attentionOutput = new Float32Array(0);
  #disposed = false;
  #timings: RunnerTimings = { segments: 0, attention: 0 };

  private constructor(
    segments: readonly LoadedSegment[],
    sites: readonly AttentionSite[],
    attention: PagedAttention,
  ) {
    this.#segments = segments;
    this.#sites = sites;
    this.#attention = attention;
  }

  /** @throws OctavoError `model_unsupported` when ONNX Runtime refuses a segment */
  static async create(
    model: ImportedModel,
    attention: PagedAttention,
    options: SegmentRunnerOptions,
  ): Promise<SegmentRunner> {
    const segments: LoadedSegment[] = [];
    try {
      for (const segment of model.segments) {
        const session = await createSession(segment, model.weightsDir, options.threads);
        segments.push({ ...segment, session });
      }
    } finally {
      await model.release();
    }
    return new SegmentRunner(segments, model.sites, attention);
  }

  get timings(): RunnerTimings {
    return this.#timings;
  }

  async execute(plan: StepPlan): Promise<Float32Array> {
    for (const copy of plan.blockCopies) this.#attention.copyBlock(copy.from, copy.to);
    const batch = buildStepBatch(plan);
    this.#attention.beginStep(batch.attention);
    const tensors = stepTensors(batch);
    // In the middle of long prompts nobody samples, and nothing else reads what the last segment computes.
    const used = batch.sampleRows.length > 0 ? this.#segments : this.#segments.slice(0, -1);
    let segments = 0;
    let attention = 0;
    for (const [index, segment] of used.entries()) {
      const start = performance.now();
      const feeds = Object.fromEntries(segment.inputs.map((name) => [name, take(tensors, name)]));
      const results = await segment.session.run(feeds, segment.outputs);
      for (const name of segment.outputs) tensors.set(name, results[name]);
      const computed = performance.now();
      segments += computed - start;
      const site = this.#sites[index];
      if (!site) continue;
      tensors.set(site.output, this.#attend(site, tensors, batch.numTokens));
      attention += performance.now() - computed;
    }
    this.#timings = { segments, attention };
    return batch.sampleRows.length > 0 ? floats(take(tensors, LOGITS)) : new Float32Array(0);
  }

  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    await this.#attention.dispose();
    for (const { session } of this.#segments) await session.release();
  }

  #attend(site: AttentionSite, tensors: ReadonlyMap<string, Tensor>, numTokens: number): Tensor {
    const width = site.numHeads * site.headSize;
    const size = numTokens * width;
    if (this.#attentionOutput.length < size) this.#attentionOutput = new Float32Array(size);
    const output = this.#attentionOutput.subarray(0, size);
    this.#attention.forward(
      site.layer,
      floats(take(tensors, site.query)),
      floats(take(tensors, site.key)),
      floats(take(tensors, site.value)),
      output,
    );
    return new Tensor('float32', output, [1, numTokens, width]);
  }
}

interface LoadedSegment extends Segment {
  readonly session: InferenceSession;
}

async function createSession(
  segment: Segment,
  weightsDir: string | null,
  threads: number,
): Promise<InferenceSession> {
  const options: InferenceSession.SessionOptions = {
    executionProviders: ['cpu'],
    graphOptimizationLevel: 'all',
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    // Every session has its own pool, and an idle pool that spins takes the cores from the segment that runs:
    // 24 segments took 280 to 400 ms a pass with spinning and 19 to 23 ms without, on two cores.
    extra: {
      session: {
        force_spinning_stop: '1',
        ...(weightsDir !== null && { model_external_initializers_file_folder_path: weightsDir }),
      },
    },
  };
  try {
    return typeof segment.model === 'string'
      ? await InferenceSession.create(segment.model, options)
      : await InferenceSession.create(segment.model, options);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.split('\n')[0] : String(cause);
    throw new OctavoError(
      'model_unsupported',
      `ONNX Runtime refuses segment ${segment.index} of the model: ${reason}`,
      { cause },
    );
  }
}

function stepTensors(batch: StepBatch): Map<string, Tensor> {
  const row = [1, batch.numTokens];
  return new Map<string, Tensor>([
    [STEP_INPUT.inputIds, new Tensor('int64', batch.inputIds, row)],
    [STEP_INPUT.positionIds, new Tensor('int64', batch.positionIds, row)],
    [STEP_INPUT.sampleRows, new Tensor('int64', batch.sampleRows, [batch.sampleRows.length])],
    [STEP_INPUT.zeroPoints, new Tensor('uint8', zeroPoints(batch.numTokens), [batch.numTokens])],
  ]);
}

let zeroes = new Uint8Array(0);

/** The same bytes for every step: ONNX Runtime only reads them. */
function zeroPoints(numTokens: number): Uint8Array {
  if (zeroes.length < numTokens) zeroes = new Uint8Array(numTokens).fill(128);
  return zeroes.subarray(0, numTokens);
}

function take(tensors: ReadonlyMap<string, Tensor>, name: string): Tensor {
  const tensor = tensors.get(name);
  if (!tensor) throw new Error(`no segment or site has computed ${name}`);
  return tensor;
}

function floats(tensor: Tensor): Float32Array {
  if (!(tensor.data instanceof Float32Array)) {
    throw new Error(`expected a float32 tensor, got ${tensor.type}`);
  }
  return tensor.data;
}
