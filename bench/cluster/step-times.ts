import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** What `npm run bench:step` has measured: the shape of Qwen2.5-0.5B, w8a8, int16 pages. */
const MEASURED = 'step-qwen2.5-0.5b-w8a8-int16';

interface Report {
  readonly tables: readonly { readonly rows: readonly (readonly number[])[] }[];
}

/**
 * Milliseconds of a step, from measured ones:
 *
 *     base + perSequence * decoding + perContext * (tokens that decoding sequences attend to)
 *          + perToken * prompt tokens + perPair * (tokens that these attend to)
 */
export interface StepTimes {
  readonly base: number;
  readonly perSequence: number;
  readonly perContext: number;
  readonly perToken: number;
  readonly perPair: number;
  /** Where they come from. */
  readonly source: string;
}

export function measuredStepTimes(): StepTimes {
  const path = fileURLToPath(new URL(`../results/${MEASURED}.json`, import.meta.url));
  const report = JSON.parse(readFileSync(path, 'utf8')) as Report;
  const [decode, short, long] = report.tables.map(({ rows }) => rows);
  // Columns: batch, context, step, tokens/s, schedule, segments, attention.
  const { slope: perSequence, offset: base } = line(
    decode.map((row) => [row[0], row[2] - row[6]] as const),
  );
  const { slope: perContext } = line(decode.map((row) => [row[0] * row[1], row[6]] as const));
  // Two prompts, of 512 and 1,024 tokens: p * perToken + p ** 2 / 2 * perPair.
  const [half, whole] = [short[0][0], long[0][0]];
  const perPair = (whole - 2 * half) / (1024 ** 2 / 2 - 512 ** 2);
  const perToken = (half - (512 ** 2 / 2) * perPair) / 512;
  return { base, perSequence, perContext, perToken, perPair, source: MEASURED };
}

/** Least squares. */
function line(points: readonly (readonly [x: number, y: number])[]) {
  const n = points.length;
  const meanX = points.reduce((sum, [x]) => sum + x, 0) / n;
  const meanY = points.reduce((sum, [, y]) => sum + y, 0) / n;
  const above = points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0);
  const below = points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
  const slope = above / below;
  return { slope, offset: meanY - slope * meanX };
}
