import { Arena, StepRegion } from '../attention/kernel/arena.js';
import {
  compileKernel,
  instantiateKernel,
  type KernelExports,
} from '../attention/kernel/module.js';
import { DEAD_AFTER_MS, WorkerPool } from '../attention/kernel/worker-pool.js';
import { HEADER_BYTES, type Header, writeHeader, writeRun } from './kernel-headers.js';
import {
  inputWidths,
  isGated,
  outputWidth,
  type Recurrence,
  type RecurrenceKernel,
  stateSize,
  type TokenRange,
} from './recurrence.js';

/** Multiplications of a run below which waking a worker costs more than it saves. */
const ALONE_BELOW = 1_500_000;
/**
 * Space for the arrays of a step. It must be there before other threads start: one that is just
 * starting may miss that a memory grows.
 */
const STEP_RESERVE_BYTES = 64 * 2 ** 20;

/** What `convolve` in assembly/short-convolution.ts needs, besides the taps. */
const SCRATCH_FLOATS = 516;

interface Begun {
  readonly layer: Recurrence;
  readonly output: number;
  readonly numTasks: number;
}

/**
 * Layers with a state by the SIMD kernel (engine/attention/kernel/assembly), on `threads` threads,
 * which share the channels or heads of a sequence. Results do not depend on their number.
 */
export class KernelRecurrence implements RecurrenceKernel {
  readonly #layers: readonly Recurrence[];
  /** By layer: its weights in the memory. */
  readonly #weights: readonly { readonly weight: number; readonly bias: number }[];
  readonly #arena = new Arena();
  readonly #kernel: KernelExports;
  readonly #pool: WorkerPool | null;
  readonly #headerPlace: number;
  readonly #header: Header;
  readonly #state: number;
  readonly #one: number;
  /** Of the calling thread. */
  readonly #scratch: number;
  readonly #region = new StepRegion(this.#arena);
  #begun: Begun | null = null;

  /** @param threads including the calling one */
  constructor(layers: readonly Recurrence[], threads: number) {
    const arena = this.#arena;
    this.#layers = layers;
    const stored = (values: Float32Array | null): number => (values ? arena.store(values) : 0);
    this.#weights = layers.map((layer) =>
      layer.kind === 'convolution'
        ? { weight: stored(layer.weight), bias: stored(layer.bias) }
        : { weight: 0, bias: 0 },
    );
    this.#one = arena.store(Float32Array.of(1));
    this.#state = arena.allocate(4 * Math.max(...layers.map(stateSize)));
    const bytes = 4 * (SCRATCH_FLOATS + Math.max(...layers.map(tapsOf)));
    const scratch = Array.from({ length: threads }, () => arena.allocate(bytes));
    [this.#scratch] = scratch;
    this.#headerPlace = arena.allocate(HEADER_BYTES);
    this.#header = {
      words: new Uint32Array(arena.memory.buffer, this.#headerPlace, HEADER_BYTES / 4),
      floats: arena.floats(this.#headerPlace, HEADER_BYTES / 4),
    };
    arena.reserve(STEP_RESERVE_BYTES);
    const module = compileKernel();
    this.#kernel = instantiateKernel(module, arena.memory);
    this.#pool =
      threads > 1
        ? new WorkerPool(
            module,
            [arena.memory],
            scratch.slice(1).map((place) => [place]),
            DEAD_AFTER_MS,
            'recurTasks',
          )
        : null;
  }

  begin(layer: number, inputs: readonly Float32Array[], numTokens: number): Uint8Array {
    const description = this.#layers[layer];
    const width = outputWidth(description);
    const places = this.#region.place([
      ...inputWidths(description).map((each) => 4 * each * numTokens),
      4 * width * numTokens,
    ]);
    const output = places[inputs.length];
    for (const [i, values] of inputs.entries()) {
      this.#arena.floats(places[i], values.length).set(values);
    }
    if (description.kind === 'linear-attention' && isGated(description)) {
      const factors = this.#arena.floats(places[3], inputs[3].length);
      for (const [i, decay] of factors.entries()) factors[i] = Math.exp(decay);
    }
    const numTasks = writeHeader(
      this.#header,
      description,
      { state: this.#state, inputs: places, output, ...this.#weights[layer], one: this.#one },
      numTokens,
    );
    this.#begun = { layer: description, output, numTasks };
    return this.#arena.bytes(this.#state, 4 * stateSize(description));
  }

  advance({ first, count }: TokenRange): void {
    if (!this.#begun) throw new Error('a layer is computed before it has begun');
    const { layer, numTasks } = this.#begun;
    writeRun(this.#header, first, count);
    const pool = numTasks > 1 && count * workOf(layer) > ALONE_BELOW ? this.#pool : null;
    pool?.begin(0, this.#headerPlace, 0);
    this.#kernel.recurTasks(this.#headerPlace, 0, this.#scratch);
    pool?.finish();
  }

  end(output: Float32Array): void {
    if (!this.#begun) throw new Error('a layer ends before it has begun');
    output.set(this.#arena.floats(this.#begun.output, output.length));
    this.#begun = null;
  }

  async dispose(): Promise<void> {
    await this.#pool?.dispose();
  }
}

function tapsOf(layer: Recurrence): number {
  return layer.kind === 'convolution' ? layer.taps : 0;
}

/** Approximate number of multiplications for a token. */
function workOf(layer: Recurrence): number {
  // An activation costs about as much as ten taps.
  return layer.kind === 'convolution' ? layer.channels * (layer.taps + 10) : 3 * stateSize(layer);
}
