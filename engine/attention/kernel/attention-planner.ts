import type { PagedAttentionConfig, PageLayout } from '../page-layout.js';
import type { AttentionBatch } from '../paged-attention.js';
import {
  type AttentionPlan,
  type PlanLimits,
  type PlanShape,
  planAttention,
} from './attention-plan.js';
import { contextCuts } from './context-cuts.js';
import { stateBytes } from './memory-bytes.js';

/** Room for the states that a layer's tasks leave behind; a plan that needs more cuts less. */
const MAX_STATE_BYTES = 32 * 2 ** 20;

/** Plans each step once for all layers that are alike. */
export class AttentionPlanner {
  readonly #shapes: PlanShape[] = [];
  /** By layer: index of its shape. */
  readonly #shapeOf: readonly number[];
  readonly #limits: PlanLimits;
  #batch: AttentionBatch | null = null;
  #plans: readonly AttentionPlan[] = [];

  constructor(config: PagedAttentionConfig, layout: PageLayout) {
    const indices = new Map<string, number>();
    this.#shapeOf = config.layers.map(({ numHeads, numKvHeads, slidingWindow }, layer) => {
      const cacheGroup = layout.layers[layer].group;
      const shape = { group: numHeads / numKvHeads, numKvHeads, slidingWindow, cacheGroup };
      const key = JSON.stringify(shape);
      const index = indices.get(key) ?? this.#shapes.push(shape) - 1;
      indices.set(key, index);
      return index;
    });
    const widest = Math.max(...config.layers.map(({ headSize }) => stateBytes(headSize)));
    this.#limits = {
      cuts: contextCuts(config.blockSize),
      threads: config.threads,
      maxStates: Math.floor(MAX_STATE_BYTES / widest),
      shares: config.selector === undefined,
    };
  }

  /** Index of a layer's plan among those of a step. */
  planOf(layer: number): number {
    return this.#shapeOf[layer];
  }

  plans(batch: AttentionBatch): readonly AttentionPlan[] {
    if (this.#batch !== batch) {
      this.#plans = this.#shapes.map((shape) => planAttention(batch, shape, this.#limits));
      this.#batch = batch;
    }
    return this.#plans;
  }
}
