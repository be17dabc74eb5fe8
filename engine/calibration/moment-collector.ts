import { Tensor } from 'onnxruntime-node';
import type { TokenId } from '../../scheduler/ids.js';
import type { StepPlan } from '../../scheduler/step-plan.js';
import { freeBuffers } from '../free-buffers.js';
import type { ObservedModel, ObservedPart } from '../importer/emit/observed-segments.js';
import { STEP_INPUT } from '../importer/imported-model.js';
import {
  type CalibratedInput,
  inputBlocks,
  type MomentSource,
} from '../importer/quantize/calibration.js';
import { imageTensors, NO_IMAGES } from '../runner/image-tensors.js';
import { type Lifetimes, lifetimes } from '../runner/lifetimes.js';
import { createSession } from '../runner/segment-session.js';
import { buildStepBatch, int64, type StepBatch } from '../runner/step-batch.js';
import { floats, stepTensors, ZeroPoints } from '../runner/tensors.js';
import { ProductSums } from './product-sums.js';
import { type Kept, ScratchFile } from './scratch-file.js';
import { SiteLayers } from './site-layers.js';

/** A sequence on its way through the model. */
interface Run {
  readonly plan: StepPlan;
  readonly batch: StepBatch;
  /** What later parts and sites read. */
  readonly tensors: Map<string, Kept>;
}

/** Rows of an activation that are not in its sums yet. */
interface Pending {
  /** `[PENDING_ROWS, width]` */
  readonly rows: Float32Array;
  count: number;
}

/**
 * Rows whose products are added at a time, at most: each addition reads and writes all sums, which
 * for a text of some ten tokens takes longer than its products.
 */
const PENDING_ROWS = 512;

/** A part, and the segment that it is a part of. */
interface Stage {
  readonly part: ObservedPart;
  readonly segment: number;
  readonly isLast: boolean;
}

/**
 * Sums products of activations over sequences. All sequences go through a part of the model before
 * the next one is loaded: memory holds one part's weights, the sums of its activations, and what
 * one sequence reads and makes there. What sequences hand on to the next part lies in a file.
 */
export class MomentCollector implements MomentSource {
  readonly #model: ObservedModel;
  readonly #stages: readonly Stage[];
  readonly #scratch: ScratchFile;
  readonly #widths: ReadonlyMap<string, number>;
  readonly #threads: number;
  readonly #layers: SiteLayers;
  readonly #products: ProductSums;
  readonly #lifetimes: Lifetimes;
  readonly #runs: readonly Run[];
  #next = 0;
  /** Of the part that has run last. */
  #sums = new Map<string, Float32Array[]>();
  readonly #pending = new Map<string, Pending>();

  private constructor(
    model: ObservedModel,
    inputs: readonly CalibratedInput[],
    sequences: readonly (readonly TokenId[])[],
    threads: number,
    products: ProductSums,
    scratchDir: string,
  ) {
    this.#model = model;
    this.#stages = model.segments.flatMap(({ parts }, segment) =>
      parts.map((part) => ({ part, segment, isLast: part === parts.at(-1) })),
    );
    this.#scratch = new ScratchFile(scratchDir);
    this.#widths = new Map(inputs.map(({ name, width }) => [name, width]));
    this.#threads = threads;
    this.#products = products;
    this.#lifetimes = lifetimes(model.segments, model.cuts);
    const longest = Math.max(...sequences.map(({ length }) => length));
    this.#layers = new SiteLayers(model, longest, threads);
    this.#runs = sequences.map((tokenIds) => {
      const plan = this.#layers.planOf(tokenIds);
      const batch = buildStepBatch(plan);
      const tensors: Map<string, Kept> = stepTensors(batch, new ZeroPoints());
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
   * @param scratchDir where a file is until the source is closed
   * @throws OctavoError `model_cache_unusable`
   */
  static async create(
    model: ObservedModel,
    inputs: readonly CalibratedInput[],
    sequences: readonly (readonly TokenId[])[],
    threads: number,
    scratchDir: string,
  ): Promise<MomentCollector> {
    const products = await ProductSums.create(threads);
    return new MomentCollector(model, inputs, sequences, threads, products, scratchDir);
  }

  stageOf(name: string): number {
    const stage = this.#stages.findIndex(({ part }) => part.observed.includes(name));
    if (stage === -1) throw new Error(`no part computes ${name}`);
    return stage;
  }

  async momentsOf(name: string): Promise<readonly Float32Array[]> {
    const stage = this.stageOf(name);
    if (stage < this.#next - 1) throw new Error(`${name} was computed, and its sums are gone`);
    while (this.#next <= stage) {
      this.#sums.clear();
      await this.#runAll(this.#stages[this.#next], this.#next === stage);
      this.#next += 1;
    }
    const sums = this.#sums.get(name);
    if (!sums) throw new Error(`${name} has no sums`);
    this.#sums.delete(name);
    return sums;
  }

  async close(): Promise<void> {
    this.#scratch.close();
    for (const { tensors } of this.#runs) tensors.clear();
    await this.#layers.dispose();
    await this.#products.close();
  }

  /** @param isSummed whether its activations are asked for */
  async #runAll(stage: Stage, isSummed: boolean): Promise<void> {
    const { part, segment, isLast } = stage;
    const session =
      part.outputs.length > 0
        ? await createSession(part, this.#model, this.#threads, { isBrief: true })
        : null;
    try {
      for (const run of this.#runs) {
        const feeds = Object.fromEntries(part.inputs.map((name) => [name, this.#read(run, name)]));
        const results = (await session?.run(feeds)) ?? {};
        for (const name of isSummed ? part.observed : []) {
          await this.#add(name, floats(results[name] ?? feeds[name] ?? this.#read(run, name)));
        }
        for (const [name, tensor] of Object.entries(results)) this.#keep(run, name, tensor);
        this.#drop(run, part.dead);
        if (!isLast) continue;
        this.#dropRead(segment, run);
        if (segment < this.#model.cuts.length) this.#computeSite(segment, run);
      }
      for (const name of this.#pending.keys()) await this.#addPending(name);
      this.#pending.clear();
    } finally {
      await session?.release();
    }
  }

  /** Forgets what is not read after a segment. */
  #dropRead(segment: number, run: Run): void {
    this.#drop(run, this.#lifetimes.afterSegment[segment]);
    if (segment === 0 || !this.#lifetimes.isLent[segment - 1]) return;
    this.#drop(run, [this.#model.cuts[segment - 1].output]);
  }

  #computeSite(index: number, run: Run): void {
    const read = (name: string): Float32Array => floats(this.#read(run, name));
    const { values, dims } = this.#layers.compute(index, run.plan, run.batch, read);
    this.#keep(run, this.#model.cuts[index].output, new Tensor('float32', values, [...dims]));
    this.#drop(run, this.#lifetimes.afterSite[index]);
  }

  #keep({ tensors }: Run, name: string, tensor: Tensor): void {
    const kept = this.#scratch.keep(tensor);
    tensors.set(name, kept);
    if (kept !== tensor) forget(tensor);
  }

  #read({ tensors }: Run, name: string): Tensor {
    const kept = tensors.get(name);
    if (!kept) throw new Error(`no part or site has computed ${name}`);
    return this.#scratch.read(kept);
  }

  #drop({ tensors }: Run, names: readonly string[]): void {
    for (const name of names) {
      const kept = tensors.get(name);
      if (!kept) throw new Error(`no part or site has computed ${name}`);
      this.#scratch.drop(kept);
      tensors.delete(name);
    }
  }

  async #add(name: string, rows: Float32Array): Promise<void> {
    const width = this.#widthOf(name);
    const pending = this.#pending.get(name) ?? {
      rows: new Float32Array(PENDING_ROWS * width),
      count: 0,
    };
    this.#pending.set(name, pending);
    for (let at = 0; at < rows.length; ) {
      const piece = rows.subarray(at, at + (PENDING_ROWS - pending.count) * width);
      pending.rows.set(piece, pending.count * width);
      pending.count += piece.length / width;
      at += piece.length;
      if (pending.count === PENDING_ROWS) await this.#addPending(name);
    }
  }

  async #addPending(name: string): Promise<void> {
    const pending = this.#pending.get(name);
    if (!pending) return;
    const width = this.#widthOf(name);
    const blocks = inputBlocks(width);
    const sums = this.#sums.get(name) ?? blocks.map(({ size }) => new Float32Array(size * size));
    this.#sums.set(name, sums);
    const rows = pending.rows.subarray(0, pending.count * width);
    for (const [i, block] of blocks.entries()) {
      sums[i] = await this.#products.add(rows, width, block, sums[i]);
    }
    pending.count = 0;
  }

  #widthOf(name: string): number {
    const width = this.#widths.get(name);
    if (width === undefined) throw new Error(`${name} was not asked for`);
    return width;
  }
}

/** Frees the memory of a tensor that ONNX Runtime or a site made. */
function forget({ data }: Tensor): void {
  if (ArrayBuffer.isView(data) && data.buffer instanceof ArrayBuffer) freeBuffers([data.buffer]);
}
