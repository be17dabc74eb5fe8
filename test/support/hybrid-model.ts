import type { PagedAttentionConfig } from '../../engine/attention/page-layout.js';
import type { KvDtype, PagedAttention } from '../../engine/attention/paged-attention.js';
import type { ModelRunner } from '../../engine/core/model-runner.js';
import type { LogitsQuery, LogitsResult } from '../../engine/decoding/logits-query.js';
import { type CachePlan, planCache } from '../../engine/recurrent/cache-plan.js';
import type { RecurrentLayer } from '../../engine/recurrent/state-layout.js';
import { StateStore } from '../../engine/recurrent/state-store.js';
import { buildStepBatch } from '../../engine/runner/step-batch.js';
import { type BlockId, NO_BLOCK } from '../../kvcache/ids.js';
import type { ScheduledSequence, StepPlan } from '../../scheduler/step-plan.js';
import { plainLayer } from './attention-cases.js';
import { answerRows } from './logits-result.js';
import { range } from './sequences.js';

const HEADS = 2;
const HEAD_SIZE = 8;
const WIDTH = HEADS * HEAD_SIZE;

export interface HybridConfig {
  /** By attention layer: its window; 0 for the whole past. */
  readonly windows: readonly number[];
  /** By recurrent layer: numbers of its state. */
  readonly stateSizes: readonly number[];
  readonly numBlocks: number;
  readonly blockSize: number;
  readonly kvDtype: KvDtype;
  readonly vocabSize: number;
  /** Absent where there is no layer with attention. */
  readonly attention?: (config: PagedAttentionConfig) => PagedAttention;
}

/**
 * A language model of layers with attention, then recurrent ones, that keeps K, V and states where
 * the engine's plan puts them: pages and states share the blocks of one pool. Its weights are
 * sines. Every number of a state has a part in what it says, and memory is NaN before it is
 * written: a state of other tokens, or a page that lies over a state, changes the text or throws.
 */
export class HybridModel implements ModelRunner {
  readonly canCopyBlocks = true;
  readonly plan: CachePlan;
  readonly store: StateStore;
  readonly timings = { segments: 0, attention: 0 };
  readonly #config: HybridConfig;
  readonly #attention: PagedAttention | null;

  constructor(config: HybridConfig) {
    const { windows, stateSizes, numBlocks, blockSize, kvDtype } = config;
    this.#config = config;
    const layers = windows.map((slidingWindow) =>
      plainLayer(HEAD_SIZE, { numHeads: HEADS, slidingWindow }),
    );
    const recurrent = stateSizes.map((size): RecurrentLayer => ({ stateBytes: 4 * size }));
    const sizes = { blockSize, kvDtype, maxModelLength: 256, maxNumBatchedTokens: 16 };
    this.plan = planCache(layers, sizes, recurrent);
    const { pages, states } = this.plan;
    const memory = { layers, layout: pages, numBlocks, blockSize, kvDtype, threads: 1 };
    this.#attention = config.attention?.(memory) ?? null;
    this.store = new StateStore(this.#attention?.pages ?? null, states, numBlocks);
    const poison = new Uint8Array(this.store.bytesPerBlock).fill(0xff);
    for (let block = 0; block < numBlocks; block++) this.store.write(block, poison);
  }

  async execute(plan: StepPlan, query: LogitsQuery): Promise<LogitsResult> {
    for (const { from, to } of plan.blockCopies) this.store.copy(from, to);
    const batch = buildStepBatch(plan);
    const rows = plan.sequences.flatMap(({ tokenIds }) => tokenIds.map(embed));
    this.#attention?.beginStep(batch.attention);
    for (const layer of this.#config.windows.keys()) this.#attend(layer, rows);
    let first = 0;
    const left = new Map<BlockId, Float32Array>();
    // In the order of the plan: a sequence may begin with a state that an earlier one leaves behind
    // in this step.
    for (const sequence of plan.sequences) {
      this.#recur(sequence, rows.slice(first, first + sequence.tokenIds.length), left);
      first += sequence.tokenIds.length;
    }
    if (rows.some((row) => row.some(Number.isNaN))) throw new Error('unwritten memory was read');
    return answerRows(
      query,
      (row) => logitsOf(rows[row], this.#config.vocabSize),
      (row) => [...rows[row]],
    );
  }

  async dispose(): Promise<void> {
    await this.#attention?.dispose();
  }

  #attend(layer: number, rows: readonly Float32Array[]): void {
    const attention = this.#attention;
    if (!attention) throw new Error('a model with windows needs an attention');
    const kv = (salt: number) => join(rows.map((row) => mixed(row, HEAD_SIZE, layer + salt)));
    attention.store(layer, kv(0.3), kv(0.7));
    const query = join(rows.map((row) => mixed(row, WIDTH, layer + 0.5)));
    const output = new Float32Array(rows.length * WIDTH);
    attention.attend(layer, query, output);
    for (const [i, row] of rows.entries()) {
      for (let d = 0; d < WIDTH; d++) row[d] += output[i * WIDTH + d];
    }
  }

  /**
   * Takes a sequence's tokens into its states, and stores these where its tables have blocks.
   *
   * @param left what was stored in this step, by the first block of each checkpoint
   */
  #recur(
    { blockTables, numComputed, numProposed }: ScheduledSequence,
    rows: readonly Float32Array[],
    left: Map<BlockId, Float32Array>,
  ): void {
    const { plan, store } = this;
    const { blockSize, stateSizes } = this.#config;
    if (stateSizes.length === 0) return;
    const tables = blockTables.slice(plan.pages.groups.length);
    const blocksBehind = (numTokens: number): BlockId[] =>
      tables.map((table) => table[Math.ceil(numTokens / blockSize) - 1]);
    let states = new Float32Array(plan.states.bytesPerCheckpoint / 4);
    if (numComputed > 0) {
      const blocks = blocksBehind(numComputed);
      const fresh = left.get(blocks[0]);
      if (fresh) states = fresh.slice();
      else store.readState(blocks, 0, new Uint8Array(states.buffer));
    }
    const numKnown = numComputed + rows.length - numProposed;
    for (const [i, row] of rows.entries()) {
      const numTokens = numComputed + i + 1;
      for (const [layer, offset] of plan.states.offsets.entries()) {
        const start = offset / 4;
        update(states.subarray(start, start + stateSizes[layer]), row, layer);
      }
      const isEnd = numTokens === numKnown || (numTokens < numKnown && numTokens % blockSize === 0);
      if (!isEnd) continue;
      const blocks = blocksBehind(numTokens);
      if (blocks.includes(NO_BLOCK)) continue;
      store.writeState(blocks, 0, new Uint8Array(states.buffer));
      left.set(blocks[0], states.slice());
    }
  }
}

/**
 * What the model says after a prompt when it is alone, and computes the whole context for each
 * token.
 */
export async function hybridText(
  model: HybridModel,
  { vocabSize, blockSize }: HybridConfig,
  prompt: readonly number[],
  maxTokens: number,
): Promise<number[]> {
  const context = [...prompt];
  while (context.length < prompt.length + maxTokens) {
    const length = Math.ceil(context.length / blockSize);
    const blockTables = model.plan.groups.map((_, g) => range(g * length, length));
    const sequence = {
      tokenIds: context,
      numProposed: 0,
      numComputed: 0,
      sequenceLength: context.length,
      blockTables,
    } as unknown as ScheduledSequence;
    const plan = { sequences: [sequence], numTokens: context.length, blockCopies: [] };
    const logits = await model.execute(plan, lastRowQuery(context.length - 1));
    context.push(logits.topIds[0] % vocabSize);
  }
  return context.slice(prompt.length);
}

function lastRowQuery(row: number): LogitsQuery {
  return {
    logitRows: [row],
    topK: 1,
    targetIds: [0],
    fullRows: [],
    softmaxSums: { rows: [], temperatures: [], coverMasses: [], cutoffRatios: [] },
    hiddenRows: [],
  };
}

function embed(token: number): Float32Array {
  return Float32Array.from({ length: WIDTH }, (_, d) => Math.sin((token + 1) * (d + 1) * 1.7));
}

/** A row times a matrix of sines. */
function mixed(row: Float32Array, width: number, salt: number): Float32Array {
  return Float32Array.from({ length: width }, (_, j) =>
    row.reduce((sum, x, d) => sum + (x * Math.sin((j + 1) * (d + 2) * (salt + 1))) / 3, 0),
  );
}

/** `state = state / 2 + f(row)`, and `row` takes in every number of it. */
function update(state: Float32Array, row: Float32Array, layer: number): void {
  for (let j = 0; j < state.length; j++) {
    state[j] = state[j] / 2 + Math.sin(row[j % WIDTH] + j + layer);
  }
  for (let j = 0; j < state.length; j++) row[j % WIDTH] += state[j] / 3;
}

function logitsOf(row: Float32Array, vocabSize: number): Float32Array {
  return Float32Array.from({ length: vocabSize }, (_, t) =>
    row.reduce((sum, x, d) => sum + x * Math.sin((t + 1) * (d + 1) * 2.3), 0),
  );
}

function join(rows: readonly Float32Array[]): Float32Array {
  return Float32Array.from(rows.flatMap((row) => [...row]));
}
