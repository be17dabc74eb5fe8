import type { BlockId } from '../../kvcache/ids.js';
import type { SequenceId, TokenId } from '../../scheduler/ids.js';
import type { StepPlan } from '../../scheduler/step-plan.js';
import type { ModelEnds } from '../core/model-ends.js';
import { fullRowsOf } from '../decoding/logits-query.js';
import type { LayerRunner } from '../speculation/draft-layers/layer-runner.js';
import type { MeasuredStep } from '../speculation/step-costs.js';
import { MEASURED_ROWS, quickestOf } from './warm-up.js';

/**
 * Measures what a token of each of some drafts costs: its embedding, the layers, and the model's
 * head. It overwrites the layers' first block: call it before the first request.
 *
 * @param now milliseconds
 */
export function measureDrafts(
  ends: ModelEnds,
  layers: LayerRunner,
  now: () => number,
): Promise<MeasuredStep[]> {
  return quickestOf(MEASURED_ROWS, now, async (rows) => {
    const plan = planOf(rows);
    const embeddings = await ends.embed(plan.sequences.map(({ tokenIds: [token] }) => token));
    const made = await layers.compute(0, plan, { embeddings, hidden: embeddings });
    await ends.rank(made, { ...fullRowsOf(plan), fullRows: [] });
  });
}

/** One token of each of so many sequences, all of them in the same block. */
function planOf(rows: number): StepPlan {
  const sequences = Array.from({ length: rows }, (_, index) => {
    const id = `draft-${index}` as SequenceId;
    return {
      id,
      tokenIds: [0 as TokenId],
      numProposed: 0,
      numComputed: 1,
      sequenceLength: 2,
      blockTables: [[0 as BlockId]],
      adapter: null,
      sampledFor: [id],
    };
  });
  return { sequences, numTokens: rows, blockCopies: [] };
}
