import type { BlockId } from '../../kvcache/ids.js';
import type { StepPlan } from '../../scheduler/step-plan.js';
import type { LogitsQuery, LogitsResult } from '../decoding/logits-query.js';
import { OctavoError } from '../errors.js';
import type { PagedDecoder } from '../importer/emit/paged-decoder.js';
import { type Company, everyRow, inCompany } from '../runner/row-check/companions.js';

/** Blocks of the cache that the check needs: one for the past, and two for each of 3 sequences. */
export const CHECK_BLOCKS = 7;

/**
 * Differences, relative to the largest number, that exceed rounding. Attention on a device divides
 * its work by the lengths of all sequences in a step, and rounds to float16. Prompts and their
 * pieces differ by 1e-2 at most. A mean over the tokens of a step made 0.3 and more.
 */
const TOLERANCE = { 'others changed': 5e-2, alone: 0.2 } as const;

/**
 * The check that tokens of different sequences do not mix (engine/runner/row-check), for one graph
 * on a device: a sequence's logits and hidden states next to others, next to very different others,
 * and alone, with attention over what they have stored.
 *
 * @param execute runs a step on a cache of `CHECK_BLOCKS` blocks or more, the first of which has
 *   random numbers
 * @throws OctavoError `model_unsupported`
 */
export async function checkDeviceRows(
  model: PagedDecoder,
  execute: (plan: StepPlan, query: LogitsQuery) => Promise<LogitsResult>,
  blockSize: number,
): Promise<void> {
  const rowsOf = async (company: Company): Promise<Float32Array[]> => {
    const { rows } = company;
    const plan = withBlocks(company.plan, model.layout.groups.length, blockSize);
    const { fullLogits, hidden } = await execute(plan, everyRow(rows.total));
    return [fullLogits, hidden].map((values) => {
      const width = values.length / rows.total;
      return values.slice(rows.start * width, (rows.start + rows.count) * width);
    });
  };
  for (const own of ['near', 'far'] as const) {
    const base = await rowsOf(inCompany({ ...model, own, others: 'near' }));
    for (const others of ['far', null] as const) {
      const limit = TOLERANCE[others === null ? 'alone' : 'others changed'];
      const same = await rowsOf(inCompany({ ...model, own, others }));
      if (base.every((values, i) => difference(values, same[i]) <= limit)) continue;
      throw new OctavoError(
        'model_unsupported',
        `${model.report.file}: on this GPU, the logits of a token change with the other sequences in a step: a request's ` +
          'text would depend on those that run beside it. octavo inspect names the node, if the graph itself is the cause',
      );
    }
  }
}

/**
 * Gives the sequences blocks: block 0 for their past, and blocks of their own for the tokens
 * of the step. The watched sequence has the same ones in any company.
 */
function withBlocks(plan: StepPlan, numGroups: number, blockSize: number): StepPlan {
  const owners = plan.sequences.length === 1 ? [0] : [1, 0, 2];
  const sequences = plan.sequences.map((sequence, i) => {
    const { numComputed, tokenIds } = sequence;
    const count = Math.ceil((numComputed + tokenIds.length) / blockSize);
    const firstOwn = Math.floor(numComputed / blockSize);
    const table = Array.from(
      { length: count },
      (_, at) => (at < firstOwn ? 0 : 1 + 2 * owners[i] + (at - firstOwn)) as BlockId,
    );
    return { ...sequence, blockTables: Array.from({ length: numGroups }, () => table) };
  });
  return { ...plan, sequences };
}

/** The largest difference, relative to the largest number of the first. */
function difference(a: Float32Array, b: Float32Array): number {
  let [worst, largest] = [0, 0];
  for (const [i, x] of a.entries()) {
    const apart = Math.abs(x - b[i]);
    if (!(apart <= worst)) worst = Number.isNaN(apart) ? Number.POSITIVE_INFINITY : apart;
    largest = Math.max(largest, Math.abs(x));
  }
  return worst === 0 ? 0 : worst / largest;
}
