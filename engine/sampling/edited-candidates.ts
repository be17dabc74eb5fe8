import type { Candidates } from './candidates.js';

/** Below this fraction of the row's mass, subtraction would lose too much precision. */
const LEAST_REST = 0.1;

/**
 * Updates the head of a row's ranking after a few logits have changed: ranking 151,936 logits again
 * takes 0.5 ms. Unchanged logits that are not in `head` are still below its last candidate, so the
 * ranks above that are known.
 *
 * @param row the logits before, `edited` those after
 * @param touched every token whose logit may have changed
 * @returns at most as many candidates as `head` has, possibly none
 */
export function editedCandidates(
  head: Candidates,
  row: Float32Array,
  edited: Float32Array,
  touched: Iterable<number>,
): Candidates {
  const last = head.count - 1;
  const [least, leastId] = [head.logits[last], head.ids[last]];
  const ids: number[] = [];
  for (let rank = 0; rank < head.count; rank++) {
    const id = head.ids[rank];
    if (edited[id] === row[id]) ids.push(id);
  }
  for (const id of touched) {
    if (edited[id] === row[id]) continue;
    if (edited[id] > least || (edited[id] === least && id <= leastId) || head.complete)
      ids.push(id);
  }
  // One or two hundred ids, nearly sorted.
  ids.sort((a, b) => edited[b] - edited[a] || a - b);
  const count = Math.min(ids.length, head.count);
  return {
    count,
    ids: Int32Array.from(ids.slice(0, count)),
    logits: Float32Array.from(ids.slice(0, count), (id) => edited[id]),
    complete: head.complete,
  };
}

/**
 * Updates the sum of `exp((logit - largest) / temperature)` (`total`) after the change.
 *
 * @param before largest logit before, `after` the largest one after
 * @returns NaN when the sum must be computed again, because the change removed nearly all of it
 */
export function editedTotal(
  total: number,
  temperature: number,
  row: Float32Array,
  edited: Float32Array,
  touched: Iterable<number>,
  before: number,
  after: number,
): number {
  const all = total * Math.exp((before - after) / temperature);
  let rest = all;
  let added = 0;
  for (const id of touched) {
    rest -= Math.exp((row[id] - after) / temperature);
    added += Math.exp((edited[id] - after) / temperature);
  }
  return rest > LEAST_REST * all ? rest + added : Number.NaN;
}
