import { type BlockId, NO_BLOCK } from '../../kvcache/ids.js';
import type { ScheduledSequence, StepPlan } from '../../scheduler/step-plan.js';
import { inputWidths, outputWidth, type Recurrence, type RecurrenceKernel } from './recurrence.js';
import type { StateLayout } from './state-layout.js';
import type { StateStore } from './state-store.js';

export interface RecurrentConfig {
  /** In the order of `layout.offsets`. */
  readonly layers: readonly Recurrence[];
  readonly layout: StateLayout;
  /** Number of cache groups with pages: those of states come after them. */
  readonly numPageGroups: number;
  readonly blockSize: number;
  /** Stays its owner's. */
  readonly store: StateStore;
  /** Of the same layers; owned by what is made of this. */
  readonly kernel: RecurrenceKernel;
}

/** Tokens of a sequence after which its state is stored, or is not kept. */
interface Piece {
  readonly first: number;
  readonly count: number;
  /** Blocks of the state that the piece begins with; null: it goes on from the piece before. */
  readonly begins: readonly BlockId[] | 'empty' | null;
  /** Blocks for the state behind it; null for tokens that were proposed. */
  readonly ends: readonly BlockId[] | null;
}

/**
 * Computes the layers of a step that keep a state, on the ragged rows of all sequences: for each of
 * them, a layer reads the state before the step from its blocks, takes the sequence's tokens in,
 * and stores the states that the plan wants. Between layers, no state is in memory besides blocks.
 *
 * Sequences are computed in the order of the plan: one may begin with a state that an earlier one
 * has left behind in the same step.
 */
export class RecurrentLayers {
  readonly store: StateStore;
  readonly #config: RecurrentConfig;
  #pieces: readonly Piece[] = [];
  #numTokens = 0;

  constructor(config: RecurrentConfig) {
    this.store = config.store;
    this.#config = config;
  }

  /** Begins a step, after its copies and loads of blocks. */
  beginStep(plan: StepPlan): void {
    const pieces: Piece[] = [];
    let row = 0;
    for (const sequence of plan.sequences) {
      pieces.push(...piecesOf(sequence, row, this.#config));
      row += sequence.tokenIds.length;
    }
    this.#pieces = pieces;
    this.#numTokens = plan.numTokens;
  }

  /**
   * Computes a layer for all tokens of the step, once.
   *
   * @param inputs as `Recurrence` describes them
   * @param output written completely
   * @throws Error when an input has another size than the layer's
   */
  compute(layer: number, inputs: readonly Float32Array[], output: Float32Array): void {
    const total = this.#numTokens;
    checkSizes(this.#config.layers[layer], inputs, output, total);
    const { kernel, layout } = this.#config;
    const state = kernel.begin(layer, inputs, total);
    const offset = layout.offsets[layer];
    for (const { first, count, begins, ends } of this.#pieces) {
      if (begins === 'empty') state.fill(0);
      else if (begins) this.store.readState(begins, offset, state);
      kernel.advance({ first, count });
      if (ends) this.store.writeState(ends, offset, state);
    }
    kernel.end(output);
  }

  /** Ends the kernel's threads. Idempotent. */
  dispose(): Promise<void> {
    return this.#config.kernel.dispose();
  }
}

/** @param first row of the sequence's first token in the step */
function piecesOf(
  { blockTables, numComputed, numProposed, tokenIds }: ScheduledSequence,
  first: number,
  { numPageGroups, blockSize }: RecurrentConfig,
): Piece[] {
  const tables = blockTables.slice(numPageGroups);
  const blocksBehind = (numTokens: number): BlockId[] =>
    tables.map((table) => table[Math.ceil(numTokens / blockSize) - 1]);
  const end = numComputed + tokenIds.length;
  const numKnown = end - numProposed;
  const pieces: Piece[] = [];
  let begins: Piece['begins'] = numComputed === 0 ? 'empty' : blocksBehind(numComputed);
  let from = numComputed;
  const add = (to: number, ends: Piece['ends']): void => {
    pieces.push({ first: first + from - numComputed, count: to - from, begins, ends });
    from = to;
    begins = null;
  };
  const firstEnd = (Math.floor(numComputed / blockSize) + 1) * blockSize;
  for (let to = firstEnd; to < numKnown; to += blockSize) {
    const blocks = blocksBehind(to);
    if (!blocks.includes(NO_BLOCK)) add(to, blocks);
  }
  add(numKnown, blocksBehind(numKnown));
  if (numProposed > 0) add(end, null);
  return pieces;
}

function checkSizes(
  layer: Recurrence,
  inputs: readonly Float32Array[],
  output: Float32Array,
  numTokens: number,
): void {
  const expected = [...inputWidths(layer), outputWidth(layer)].map((width) => width * numTokens);
  const actual = [...inputs, output].map(({ length }) => length);
  if (actual.join() === expected.join()) return;
  throw new Error(
    `a layer of ${layer.kind} has inputs and output of ${actual.join(', ')} floats for ${numTokens} tokens; expected ${expected.join(', ')}`,
  );
}
