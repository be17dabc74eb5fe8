import type { AttentionBatch, AttentionShape, BlockTables } from '../paged-attention.js';
import { type Arena, StepRegion } from './arena.js';
import type { AttentionPlan } from './attention-plan.js';
import { stepHeader } from './headers.js';
import { stateBytes } from './memory-bytes.js';

/** Arrays of a plan, in the order in which they are placed. */
const PLAN_ARRAYS = ['tiles', 'spans', 'tasks', 'taskTiles', 'pending'] as const;

/** A plan in a memory. */
export interface PlacedPlan {
  readonly plan: AttentionPlan;
  /** Where its counters are. */
  readonly pending: number;
  /** The step's header for layers with this plan. */
  readonly header: Uint32Array;
}

/** Where a step's arrays are in a memory. */
export interface PlacedStep {
  readonly batch: AttentionBatch;
  readonly places: Readonly<Record<'inputs' | 'output', number>>;
  /** Room for what a selector chooses of the largest tables; no room without a selector. */
  readonly selection: number;
  readonly plans: readonly PlacedPlan[];
}

const NOTHING = new Int32Array(0);

/** Copies a step's arrays into one memory. */
export class StepArrays {
  readonly #arena: Arena;
  readonly #shapes: readonly AttentionShape[];
  readonly #selects: boolean;
  readonly #region: StepRegion;

  /**
   * @param shapes of the layers with pages in this memory
   * @param selects whether there is a selector of pages
   */
  constructor(arena: Arena, shapes: readonly AttentionShape[], selects: boolean) {
    this.#arena = arena;
    this.#region = new StepRegion(arena);
    this.#shapes = shapes;
    this.#selects = selects;
  }

  /**
   * Copies once what all layers of a step share, and reserves space for what is copied or computed
   * for each layer.
   */
  place(batch: AttentionBatch, plans: readonly AttentionPlan[]): PlacedStep {
    const shapes = this.#shapes;
    const tokens = batch.queryStarts[batch.numSequences];
    const widest = (heads: (shape: AttentionShape) => number): number =>
      tokens * 4 * Math.max(...shapes.map((shape) => heads(shape) * shape.headSize));
    const tables = batch.blockTables.flatMap(({ starts, blocks }: BlockTables) => [starts, blocks]);
    const arrays = [
      batch.queryStarts.subarray(0, batch.numSequences + 1),
      batch.contextLengths.subarray(0, batch.numSequences),
      batch.lastSeen?.subarray(0, tokens) ?? NOTHING,
      ...tables,
      ...plans.flatMap((plan) => PLAN_ARRAYS.map((name) => plan[name])),
    ];
    const queries = widest((shape) => shape.numHeads);
    const keys = widest((shape) => shape.numKvHeads);
    const largestState = Math.max(...shapes.map(({ headSize }) => stateBytes(headSize)));
    const at = this.#region.place([
      ...arrays.map((array) => array.byteLength),
      queries + 2 * keys,
      queries,
      Math.max(...plans.map(({ numStates }) => numStates)) * largestState,
      this.#selects ? Math.max(...batch.blockTables.map(({ blocks }) => blocks.length)) : 0,
    ]);
    arrays.forEach((array, i) => this.#arena.ints(at[i], array.length).set(array));
    const [inputs, output, states, selection] = at.slice(arrays.length);
    const [queryStarts, contextLengths, ofQueries] = at;
    const firstTable = 3;
    const firstPlan = firstTable + tables.length;
    const shared = {
      queryStarts,
      contextLengths,
      lastSeen: batch.lastSeen ? ofQueries : 0,
      numSequences: batch.numSequences,
      output,
      states,
    };
    return {
      batch,
      places: { inputs, output },
      selection,
      plans: plans.map((plan, i) => {
        const [tiles, spans, tasks, taskTiles, pending] = at.slice(
          firstPlan + i * PLAN_ARRAYS.length,
        );
        const [tableStarts, blockTables] = at.slice(firstTable + 2 * plan.cacheGroup);
        const planned = { tiles, spans, tasks, taskTiles, pending, numTasks: plan.numTasks };
        const header = stepHeader({ ...shared, ...planned, tableStarts, blockTables });
        return { plan, pending, header };
      }),
    };
  }
}
