import type { ModelRunner } from '../../engine/core/model-runner.js';
import { fullRowsOf } from '../../engine/decoding/logits-query.js';
import type { BlockId } from '../../kvcache/ids.js';
import type { SequenceId, TokenId } from '../../scheduler/ids.js';
import type { ScheduledSequence } from '../../scheduler/step-plan.js';

/** Tokens of which those from index `from` on are to be predicted; `from` is at least 1. */
export interface ScoredText {
  readonly tokens: readonly TokenId[];
  readonly from: number;
}

const BATCH = 32;
/** Tokens of a text's beginning in one step. */
const CHUNK = 64;

/**
 * Exponential of the mean surprise over all predicted tokens. Each text is fed as if the model had
 * said it: its beginning in pieces, then token by token, in batches of mixed texts, as a server
 * would.
 */
export async function perplexity(
  runner: ModelRunner,
  vocabSize: number,
  blockSize: number,
  texts: readonly ScoredText[],
): Promise<number> {
  let surprise = 0;
  let count = 0;
  for (let start = 0; start < texts.length; start += BATCH) {
    const batch = texts.slice(start, start + BATCH).map((text, place) => ({ text, place }));
    const longest = Math.max(...batch.map(({ text }) => text.tokens.length));
    const stride = Math.ceil(longest / blockSize);
    const done = batch.map(() => 0);
    for (;;) {
      const live = batch.filter(({ text, place }) => done[place] < text.tokens.length - 1);
      if (live.length === 0) break;
      const sequences = live.map(({ text, place }): ScheduledSequence => {
        const to = Math.max(done[place] + 1, Math.min(text.from, done[place] + CHUNK));
        return {
          id: `${place}` as SequenceId,
          tokenIds: text.tokens.slice(done[place], to),
          numComputed: done[place],
          numProposed: 0,
          adapter: null,
          sequenceLength: text.tokens.length,
          blockTables: [Array.from({ length: stride }, (_, i) => (place * stride + i) as BlockId)],
          sampledFor: to >= text.from ? [`${place}` as SequenceId] : [],
        };
      });
      const numTokens = sequences.reduce((n, { tokenIds }) => n + tokenIds.length, 0);
      const plan = { sequences, numTokens, blockCopies: [] };
      const { fullLogits } = await runner.execute(plan, fullRowsOf(plan));
      let row = 0;
      live.forEach(({ text, place }, index) => {
        done[place] += sequences[index].tokenIds.length;
        if (sequences[index].sampledFor.length === 0) return;
        const own = fullLogits.subarray(row * vocabSize, (row + 1) * vocabSize);
        surprise -= logProbability(own, text.tokens[done[place]]);
        count += 1;
        row += 1;
      });
    }
  }
  return Math.exp(surprise / count);
}

/**
 * The same of texts that are predicted from their second token on, each fed in one step, as a
 * prompt: much faster, and the same but for the order in which sums are added.
 */
export async function promptPerplexity(
  runner: ModelRunner,
  blockSize: number,
  texts: readonly (readonly TokenId[])[],
): Promise<number> {
  let surprise = 0;
  let count = 0;
  for (const tokenIds of texts) {
    const blocks = Array.from(
      { length: Math.ceil(tokenIds.length / blockSize) },
      (_, i) => i as BlockId,
    );
    const id = 'text' as SequenceId;
    const sequence: ScheduledSequence = {
      id,
      tokenIds,
      numComputed: 0,
      numProposed: 0,
      adapter: null,
      sequenceLength: tokenIds.length,
      blockTables: [blocks],
      sampledFor: [],
    };
    const plan = { sequences: [sequence], numTokens: tokenIds.length, blockCopies: [] };
    const targetIds = tokenIds.slice(1);
    const rows = targetIds.map((_, row) => row);
    const each = (value: number): number[] => rows.map(() => value);
    const { topLogits, targetLogits, softmaxSums } = await runner.execute(plan, {
      logitRows: rows,
      topK: 1,
      targetIds,
      fullRows: [],
      // No row is wanted whole.
      softmaxSums: { rows, temperatures: each(1), coverMasses: each(0), cutoffRatios: each(0) },
      hiddenRows: [],
    });
    for (const row of rows) {
      surprise += topLogits[row] + Math.log(softmaxSums[row]) - targetLogits[row];
    }
    count += rows.length;
  }
  return Math.exp(surprise / count);
}

function logProbability(logits: Float32Array, token: number): number {
  const largest = logits.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const sum = logits.reduce((total, x) => total + Math.exp(x - largest), 0);
  return logits[token] - largest - Math.log(sum);
}
