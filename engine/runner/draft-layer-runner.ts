import { type InferenceSession, Tensor } from 'onnxruntime-node';
import type { StepPlan } from '../../scheduler/step-plan.js';
import type { BlockStore } from '../attention/block-store.js';
import type { PagedAttention } from '../attention/paged-attention.js';
import type { ImportedDraftLayer } from '../importer/emit/draft-segments.js';
import { DRAFT_TENSOR, type Segment } from '../importer/imported-model.js';
import type { LayerRows, LayerRunner } from '../speculation/draft-layers/layer-runner.js';
import { createSession } from './segment-session.js';
import { buildStepBatch, type StepBatch } from './step-batch.js';
import { floats, stepTensors, take, ZeroPoints } from './tensors.js';

/** A stage's sessions, around its attention. */
interface Stage {
  readonly layer: ImportedDraftLayer;
  readonly sessions: readonly InferenceSession[];
}

/** All stages are layer 0 of the attention. */
const LAYER = 0;

/** Runs layers that draft: a segment, attention, a segment. It owns the attention. */
export class DraftLayerRunner implements LayerRunner {
  readonly #stages: readonly Stage[];
  readonly #attention: PagedAttention;
  readonly #width: number;
  readonly #zeroPoints = new ZeroPoints();
  #disposed = false;

  private constructor(stages: readonly Stage[], attention: PagedAttention, width: number) {
    this.#stages = stages;
    this.#attention = attention;
    this.#width = width;
  }

  /**
   * @param attention over the pages of one layer, the site of each of `layers`
   * @param width the hidden size
   * @throws OctavoError `model_unsupported` when ONNX Runtime refuses a segment
   */
  static async create(
    layers: readonly ImportedDraftLayer[],
    attention: PagedAttention,
    width: number,
    threads: number,
  ): Promise<DraftLayerRunner> {
    const stages: Stage[] = [];
    for (const layer of layers) {
      const sessions: InferenceSession[] = [];
      for (const segment of layer.segments) {
        sessions.push(await createSession(segment, layer, threads));
      }
      stages.push({ layer, sessions });
    }
    return new DraftLayerRunner(stages, attention, width);
  }

  get numStages(): number {
    return this.#stages.length;
  }

  get pages(): BlockStore {
    return this.#attention.pages;
  }

  async store(plan: StepPlan, rows: LayerRows): Promise<void> {
    await this.#begin(0, buildStepBatch(plan), rows);
  }

  async compute(stage: number, plan: StepPlan, rows: LayerRows): Promise<Float32Array> {
    const batch = buildStepBatch(plan);
    const tensors = await this.#begin(stage, batch, rows);
    const { site } = this.#stages[stage].layer;
    const width = site.numHeads * site.headSize;
    const output = new Float32Array(batch.numTokens * width);
    this.#attention.attend(LAYER, floats(take(tensors, site.query)), output);
    tensors.set(site.output, new Tensor('float32', output, [1, batch.numTokens, width]));
    await this.#run(stage, 1, tensors);
    return floats(take(tensors, DRAFT_TENSOR.output));
  }

  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    await this.#attention.dispose();
    for (const { sessions } of this.#stages) {
      for (const session of sessions) await session.release();
    }
  }

  /** Up to the attention, with keys and values in their pages. */
  async #begin(
    stage: number,
    batch: StepBatch,
    { embeddings, hidden }: LayerRows,
  ): Promise<Map<string, Tensor>> {
    const dims = [1, batch.numTokens, this.#width];
    const tensors = stepTensors(batch, this.#zeroPoints);
    tensors.set(DRAFT_TENSOR.embeddings, new Tensor('float32', embeddings, dims));
    tensors.set(DRAFT_TENSOR.hidden, new Tensor('float32', hidden, dims));
    await this.#run(stage, 0, tensors);
    const { key, value } = this.#stages[stage].layer.site;
    if (key === null || value === null) throw new Error('a layer that drafts has keys of its own');
    this.#attention.beginStep(batch.attention);
    this.#attention.store(LAYER, floats(take(tensors, key)), floats(take(tensors, value)));
    return tensors;
  }

  async #run(stage: number, part: 0 | 1, tensors: Map<string, Tensor>): Promise<void> {
    const { layer, sessions } = this.#stages[stage];
    const { inputs, outputs }: Segment = layer.segments[part];
    const feeds = Object.fromEntries(inputs.map((name) => [name, take(tensors, name)]));
    const results = await sessions[part].run(feeds, outputs);
    for (const name of outputs) tensors.set(name, results[name]);
  }
}
