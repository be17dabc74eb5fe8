import type { BlockId } from '../../kvcache/ids.js';
import type { SequenceId, TokenId } from '../../scheduler/ids.js';
import type { ScheduledSequence, StepPlan } from '../../scheduler/step-plan.js';
import type { ModelRunner } from '../core/model-runner.js';
import { fullRowsOf } from '../decoding/logits-query.js';

export interface LargestStep {
  readonly tokens: number;
  readonly sequences: number;
  /** Tokens that one sequence may have. */
  readonly maxModelLength: number;
  readonly blockSize: number;
  /** Of layers that share block tables. */
  readonly numGroups: number;
}

/**
 * Runs the largest step that will ever be scheduled, once: ONNX Runtime then has the memory for all others, and a machine without that
 * memory is found out before anyone waits. The first prompt of 512 tokens took 1.5 times as long without it (Qwen2.5-0.5B's shape).
 *
 * To be called before the first request: it writes into blocks that nobody has yet, and leaves nothing behind that is ever read.
 */
export async function warmUp(runner: ModelRunner, largest: LargestStep): Promise<void> {
  const plan = largestPlan(largest);
  await runner.execute(plan, { ...fullRowsOf(plan), fullRows: [] });
}

/** All sequences write into the same blocks: what stands there afterwards is of no use anyway. */
function largestPlan(largest: LargestStep): StepPlan {
  const { maxModelLength, blockSize, numGroups } = largest;
  const count = Math.min(largest.sequences, largest.tokens);
  const tokens = Math.min(largest.tokens, count * maxModelLength);
  const longest = Math.ceil(tokens / count);
  const blocks = Array.from({ length: Math.ceil(longest / blockSize) }, (_, i) => i as BlockId);
  const sequences = Array.from({ length: count }, (_, index): ScheduledSequence => {
    const id = `warm-up-${index}` as SequenceId;
    const length = Math.floor(tokens / count) + (index < tokens % count ? 1 : 0);
    return {
      id,
      tokenIds: Array.from({ length }, () => 0 as TokenId),
      numComputed: 0,
      numProposed: 0,
      adapter: null,
      sequenceLength: length,
      blockTables: Array.from({ length: numGroups }, () => blocks),
      sampledFor: [id],
    };
  });
  return { sequences, numTokens: tokens, blockCopies: [] };
}
