import { Tensor } from 'onnxruntime-node';
import type { TokenId } from '../../scheduler/ids.js';
import type { StepPlan } from '../../scheduler/step-plan.js';
import type { ObservedModel, ObservedSegment } from '../importer/emit/observed-segments.js';
import { STEP_INPUT } from '../importer/imported-model.js';
import {
  type CalibratedInput,
  inputBlocks,
  type MomentSource,
} from '../importer/quantize/calibration.js';
import { imageTensors, NO_IMAGES } from '../runner/image-tensors.js';
import { freeBuffers, type Lifetimes, lifetimes } from '../runner/lifetimes.js';
import { createSession } from '../runner/segment-session.js';
import { buildStepBatch, int64, type StepBatch } from '../runner/step-batch.js';
import { floats, stepTensors, take, ZeroPoints } from '../runner/tensors.js';
import { ProductSums } from './product-sums.js';
import { SiteLayers } from './site-layers.js';

/** A sequence on its way through the model. */
interface Run {
  readonly plan: StepPlan;
  readonly batch: StepBatch;
  /** What later segments and sites read. */
  readonly tensors: Map<string, Tensor>;
}

/**
 * Sums products of activations over sequences. All sequences go through a segment before the next
 * one is loaded: memory holds one segment's weights, the sums of its activations, and what the
 * sequences hand on to the next.
 */
export class MomentCollector implements MomentSource {
  readonly #model: ObservedModel;
  readonly #widths: ReadonlyMap<string, number>;
  readonly #threads: number;
  readonly #layers: SiteLayers;
  readonly #products: ProductSums;
  readonly #lifetimes: Lifetimes;
  readonly #runs: readonly Run[];
  #next = 0;
  /** Of the segment that has run last. */
  #sums = new Map<string, Float32Array[]>();

  private constructor(
    model: ObservedModel,
    inputs: readonly CalibratedInput[],
    sequences: readonly (readonly TokenId[])[],
    threads: number,
    products: ProductSums,
  ) {
    this.#model = model;
    this.#widths = new Map(inputs.map(({ name, width }) => [name, width]));
    this.#threads = threads;
    this.#products = products;
    this.#lifetimes = lifetimes(model.segments, model.cuts);
    const longest = Math.max(...sequences.map(({ length }) => length));
    this.#layers = new SiteLayers(model, longest, threads);
    this.#runs = sequences.map((tokenIds) => {
      const plan = this.#layers.planOf(tokenIds);
      const batch = buildStepBatch(plan);
      const tensors = stepTensors(batch, new ZeroPoints());
      // The LM head sees all tokens.
      const rows = int64([...tokenIds.keys()]);
      tensors.set(STEP_INPUT.sampleRows, new Tensor('int64', rows, [rows.length]));
      const { imageInputs } = model;
      const images = imageInputs ? imageTensors(plan, imageInputs, NO_IMAGES) : [];
      for (const [name, tensor] of images) tensors.set(name, tensor);
      return { plan, batch, tensors };
    });
  }

  /**
   * @param inputs those that the model shows
   * @param sequences at least one, none of them empty
   * @param threads of ONNX Runtime, and of the attention
   */
  static async create(
    model: ObservedModel,
    inputs: readonly CalibratedInput[],
    sequences: readonly (readonly TokenId[])[],
    threads: number,
  ): Promise<MomentCollector> {
    const products = await ProductSums.create(threads);
    return new MomentCollector(model, inputs, sequences, threads, products);
  }

  stageOf(name: string): number {
    const stage = this.#model.segments.findIndex(({ observed }) => observed.includes(name));
    if (stage === -1) throw new Error(`no segment computes ${name}`);
    return stage;
  }

  async momentsOf(name: string): Promise<readonly Float32Array[]> {
    const stage = this.stageOf(name);
    if (stage < this.#next - 1) throw new Error(`${name} was computed, and its sums are gone`);
    while (this.#next <= stage) {
      this.#sums.clear();
      const segment = this.#model.segments[this.#next];
      await this.#runAll(segment, this.#next === stage);
      this.#next += 1;
    }
    const sums = this.#sums.get(name);
    if (!sums) throw new Error(`${name} has no sums`);
    return sums;
  }

  async close(): Promise<void> {
    for (const { tensors } of this.#runs) tensors.clear();
    await this.#layers.dispose();
    await this.#products.close();
  }

  /** @param isSummed whether its activations are asked for */
  async #runAll(segment: ObservedSegment, isSummed: boolean): Promise<void> {
    const { index, inputs, outputs, observed } = segment;
    const session = await createSession(segment, this.#model, this.#threads);
    try {
      for (const { plan, batch, tensors } of this.#runs) {
        const feeds = Object.fromEntries(inputs.map((name) => [name, take(tensors, name)]));
        const wanted = isSummed ? [...new Set([...outputs, ...segment.shown])] : outputs;
        const results = wanted.length > 0 ? await session.run(feeds, wanted) : {};
        for (const name of isSummed ? observed : []) {
          await this.#add(name, floats(results[name] ?? take(tensors, name)));
        }
        const others = wanted.filter((name) => !outputs.includes(name));
        forget(others.map((name) => results[name]));
        for (const name of outputs) tensors.set(name, results[name]);
        this.#dropRead(index, tensors);
        if (index < this.#model.cuts.length) this.#computeSite(index, plan, batch, tensors);
      }
    } finally {
      await session.release();
    }
  }

  /** Forgets what is not read after a segment. */
  #dropRead(index: number, tensors: Map<string, Tensor>): void {
    drop(tensors, this.#lifetimes.afterSegment[index]);
    if (index === 0 || !this.#lifetimes.isLent[index - 1]) return;
    tensors.delete(this.#model.cuts[index - 1].output);
  }

  #computeSite(
    index: number,
    plan: StepPlan,
    batch: StepBatch,
    tensors: Map<string, Tensor>,
  ): void {
    const read = (name: string): Float32Array => floats(take(tensors, name));
    const { values, dims } = this.#layers.compute(index, plan, batch, read);
    tensors.set(this.#model.cuts[index].output, new Tensor('float32', values, [...dims]));
    drop(tensors, this.#lifetimes.afterSite[index]);
  }

  async #add(name: string, rows: Float32Array): Promise<void> {
    const width = this.#widths.get(name);
    if (width === undefined) throw new Error(`${name} was not asked for`);
    const blocks = inputBlocks(width);
    const sums = this.#sums.get(name) ?? blocks.map(({ size }) => new Float32Array(size * size));
    this.#sums.set(name, sums);
    for (const [i, block] of blocks.entries()) {
      sums[i] = await this.#products.add(rows, width, block, sums[i]);
    }
  }
}

function drop(tensors: Map<string, Tensor>, names: readonly string[]): void {
  forget(names.map((name) => take(tensors, name)));
  for (const name of names) tensors.delete(name);
}

/** Frees the memory of tensors that ONNX Runtime made. */
function forget(tensors: readonly Tensor[]): void {
  const buffers = tensors.flatMap(({ data }) =>
    ArrayBuffer.isView(data) && data.buffer instanceof ArrayBuffer ? [data.buffer] : [],
  );
  freeBuffers(buffers);
}
