import type { RowAnswer, RowQuery } from '../../engine/decoding/row-query.js';
import type { RowLogits } from '../../engine/sampling/sequence-sampler.js';

/**
 * Answers a query from whole rows, in float64: what the end of the graph computes, in plain words.
 *
 * @param logits of a row of the step
 * @param hidden state of a row of the step
 */
export function answerRows(
  query: RowQuery,
  logits: (row: number) => Float32Array,
  hidden: (row: number) => readonly number[],
): RowAnswer {
  const { logitRows, ranked, targets, sums } = query;
  const rows = logitRows.map(logits);
  const rankings = rows.map((row) => [...row.keys()].sort((a, b) => row[b] - row[a] || a - b));
  const totals: number[] = [];
  const undecided: number[] = [];
  sums.rows.forEach((s, m) => {
    const weight = (id: number): number =>
      Math.exp((rows[s][id] - rows[s][rankings[s][0]]) / sums.temperatures[m]);
    const total = rankings[s].reduce((t, id) => t + weight(id), 0);
    totals.push(total);
    const top = rankings[s].slice(0, ranked).map(weight);
    const mass = top.reduce((a, b) => a + b, 0) / total;
    const decided = mass > sums.neededMasses[m] || (top.at(-1) as number) < sums.closingRatios[m];
    if (!decided) undecided.push(s);
  });
  const wholeRows = [...query.whole, ...undecided];
  return {
    topLogits: Float32Array.from(
      rankings.flatMap((ids, s) => ids.slice(0, ranked).map((id) => rows[s][id])),
    ),
    topIds: Int32Array.from(rankings.flatMap((ids) => ids.slice(0, ranked))),
    targetLogits: Float32Array.from(targets, (target, s) => rows[s][target]),
    totals: Float32Array.from(totals),
    wholeRows: Int32Array.from(wholeRows),
    wholeLogits: Float32Array.from(wholeRows.flatMap((s) => Array.from(rows[s]))),
    hidden: Float32Array.from(query.hiddenRows.flatMap(hidden)),
  };
}

/** A row with nothing ranked but its largest logit. */
export function wholeRow(row: Float32Array): RowLogits {
  const best = row.indexOf(Math.max(...row));
  const [ids, logits] = [Int32Array.of(best), Float32Array.of(row[best])];
  return { candidates: { count: 1, ids, logits, complete: false }, total: null, row };
}
