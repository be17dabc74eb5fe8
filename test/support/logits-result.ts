import type { LogitsQuery, LogitsResult } from '../../engine/decoding/logits-query.js';
import type { RowLogits } from '../../engine/sampling/sequence-sampler.js';

/**
 * Answers a query from whole rows, in float64: what the end of the graph computes, in plain words.
 *
 * @param logits of a row of the step
 * @param hidden state of a row of the step
 */
export function answerRows(
  query: LogitsQuery,
  logits: (row: number) => Float32Array,
  hidden: (row: number) => readonly number[],
): LogitsResult {
  const { logitRows, topK, targetIds, softmaxSums: asked } = query;
  const rows = logitRows.map(logits);
  const rankings = rows.map((row) => [...row.keys()].sort((a, b) => row[b] - row[a] || a - b));
  const softmaxSums: number[] = [];
  const undecided: number[] = [];
  asked.rows.forEach((s, m) => {
    const weight = (id: number): number =>
      Math.exp((rows[s][id] - rows[s][rankings[s][0]]) / asked.temperatures[m]);
    const total = rankings[s].reduce((t, id) => t + weight(id), 0);
    softmaxSums.push(total);
    const top = rankings[s].slice(0, topK).map(weight);
    const mass = top.reduce((a, b) => a + b, 0) / total;
    const decided = mass > asked.coverMasses[m] || (top.at(-1) as number) < asked.cutoffRatios[m];
    if (!decided) undecided.push(s);
  });
  const fullRows = [...query.fullRows, ...undecided];
  return {
    topLogits: Float32Array.from(
      rankings.flatMap((ids, s) => ids.slice(0, topK).map((id) => rows[s][id])),
    ),
    topIds: Int32Array.from(rankings.flatMap((ids) => ids.slice(0, topK))),
    targetLogits: Float32Array.from(targetIds, (target, s) => rows[s][target]),
    softmaxSums: Float32Array.from(softmaxSums),
    fullRows: Int32Array.from(fullRows),
    fullLogits: Float32Array.from(fullRows.flatMap((s) => Array.from(rows[s]))),
    hidden: Float32Array.from(query.hiddenRows.flatMap(hidden)),
  };
}

/** A row with nothing ranked but its largest logit. */
export function wholeRow(row: Float32Array): RowLogits {
  const best = row.indexOf(Math.max(...row));
  const [ids, logits] = [Int32Array.of(best), Float32Array.of(row[best])];
  return { candidates: { count: 1, ids, logits, complete: false }, total: null, row };
}
