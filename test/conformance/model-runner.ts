import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ModelRunner } from '../../engine/core/model-runner.js';
import type { LogitsQuery, LogitsResult } from '../../engine/decoding/logits-query.js';
import type { BlockId } from '../../kvcache/ids.js';
import type { BlockCopy } from '../../kvcache/kv-cache-config.js';
import type { SequenceId, TokenId } from '../../scheduler/ids.js';
import type { StepPlan } from '../../scheduler/step-plan.js';
import { range } from '../support/sequences.js';

/** A runner, and the sizes by which steps are planned. */
export interface RunnerFixture {
  readonly runner: ModelRunner;
  readonly vocabSize: number;
  readonly blockSize: number;
  /** At least 200 for each group. */
  readonly numBlocks: number;
  readonly numGroups: number;
}

/** Some tokens of a sequence, and where its blocks are. */
interface Piece {
  readonly tables: readonly (readonly BlockId[])[];
  readonly tokens: readonly number[];
  readonly numComputed?: number;
  readonly numProposed?: number;
}

/** Loading a model on a device compiles its kernels, which are then kept. */
const TIMEOUT_MS = 300_000;
const NO_SUMS = { rows: [], temperatures: [], coverMasses: [], cutoffRatios: [] };

/**
 * What every runner promises: what it says of a token depends on the tokens before it, and on
 * nothing else. To be called with each.
 *
 * @param create it is disposed of by the suite
 * @param tolerance of logits that are computed in another company: 0 where all is exact
 */
export function describeModelRunner(
  name: string,
  create: () => Promise<RunnerFixture>,
  tolerance: number,
): void {
  describe(`${name}, as any model runner`, { timeout: TIMEOUT_MS }, () => {
    let fixture: RunnerFixture;
    /** Tokens of a text: more than two blocks of 4, and more than one of any other size. */
    let length = 14;
    let nextBlock = 0;
    beforeAll(async () => {
      fixture = await create();
      length = Math.max(length, fixture.blockSize + 10);
    }, TIMEOUT_MS);
    afterAll(() => fixture.runner.dispose());

    /** Any tokens that a small vocabulary has. */
    const text = (salt: number): number[] =>
      range(0, length).map((i) => 3 + ((i * 7 + salt * 5) % 40));

    /** Blocks of its own for a sequence, in each group. */
    function newTables(): BlockId[][] {
      const { numGroups, blockSize, numBlocks } = fixture;
      const blocks = Math.ceil((length + 4) / blockSize);
      return range(0, numGroups).map(() =>
        range(0, blocks).map(() => (nextBlock++ % numBlocks) as BlockId),
      );
    }

    function planOf(pieces: readonly Piece[], blockCopies: readonly BlockCopy[] = []): StepPlan {
      const sequences = pieces.map(({ tables, tokens, numComputed = 0, numProposed = 0 }, i) => ({
        id: `s${i}` as SequenceId,
        tokenIds: tokens as readonly TokenId[],
        numProposed,
        numComputed,
        sequenceLength: numComputed + tokens.length - numProposed,
        blockTables: tables,
        adapter: null,
        sampledFor: [`s${i}` as SequenceId],
      }));
      const numTokens = pieces.reduce((sum, { tokens }) => sum + tokens.length, 0);
      return { sequences, numTokens, blockCopies };
    }

    function queryOf(rows: readonly number[], more: Partial<LogitsQuery> = {}): LogitsQuery {
      const fullRows = rows.map((_, s) => s);
      const targetIds = rows.map(() => 0);
      const softmaxSums = NO_SUMS;
      return {
        logitRows: rows,
        topK: 1,
        targetIds,
        fullRows,
        softmaxSums,
        hiddenRows: [],
        ...more,
      };
    }

    /** The logits of each row that came out in full, in the order of the rows. */
    function rowsOf({ fullRows, fullLogits }: LogitsResult): Float32Array[] {
      const { vocabSize } = fixture;
      const rows: Float32Array[] = [];
      for (const [i, s] of fullRows.entries()) {
        rows[s] = fullLogits.slice(i * vocabSize, (i + 1) * vocabSize);
      }
      return rows;
    }

    /** Runs a step. @returns the logits of all its rows */
    async function step(
      pieces: readonly Piece[],
      blockCopies: readonly BlockCopy[] = [],
    ): Promise<Float32Array[]> {
      const plan = planOf(pieces, blockCopies);
      const query = queryOf(range(0, plan.numTokens));
      return rowsOf(await fixture.runner.execute(plan, query));
    }

    /** The rows of a text that is computed at once, with nothing beside it. */
    const alone = (tokens: readonly number[]) => step([{ tables: newTables(), tokens }]);

    function expectSame(actual: readonly Float32Array[], expected: readonly Float32Array[]): void {
      expect(actual).toHaveLength(expected.length);
      for (const [i, row] of expected.entries()) {
        const largest = row.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
        const worst = row.reduce((most, x, t) => Math.max(most, Math.abs(x - actual[i][t])), 0);
        expect(worst).toBeLessThanOrEqual(tolerance * largest);
      }
    }

    it('says the same of a text at once, in pieces, and beside others', async () => {
      const expected = await alone(text(1));
      const tables = newTables();
      const other = newTables();
      const rows: Float32Array[] = [];
      let numComputed = 0;
      for (const count of [5, 1, length - 8, 2]) {
        const tokens = text(1).slice(numComputed, numComputed + count);
        const beside = {
          tables: other,
          tokens: text(2).slice(numComputed, numComputed + count),
          numComputed,
        };
        rows.push(...(await step([beside, { tables, tokens, numComputed }])).slice(count));
        numComputed += count;
      }
      expectSame(rows, expected);
    });

    it('goes on over blocks that another sequence has filled, also in the same step', async () => {
      const { blockSize } = fixture;
      const tokens = [...text(1).slice(0, blockSize), ...text(2).slice(blockSize)];
      const expected = (await alone(tokens)).slice(blockSize);
      const first = newTables();
      const sharing = newTables();
      for (const [g, table] of sharing.entries()) table[0] = first[g][0];
      const own = { tables: sharing, tokens: tokens.slice(blockSize), numComputed: blockSize };
      const together = await step([{ tables: first, tokens: text(1) }, own]);
      expectSame(together.slice(length), expected);
      expectSame(await step([own]), expected);
    });

    it('copies blocks before it writes, or refuses plans with copies', async () => {
      const { blockSize } = fixture;
      const { canCopyBlocks } = fixture.runner;
      const common = blockSize + 2;
      const [left, right] = [text(1), [...text(1).slice(0, common), ...text(3).slice(common)]];
      // Without copies, the shared block is computed once more.
      const again = canCopyBlocks ? common : blockSize;
      const expected = [...(await alone(left)).slice(common), ...(await alone(right)).slice(again)];
      const parent = newTables();
      await step([{ tables: parent, tokens: left.slice(0, common) }]);
      const child = newTables();
      for (const [g, table] of child.entries()) table[0] = parent[g][0];
      const copies = parent.map((table, g) => ({ from: table[1], to: child[g][1] }));
      const pieces = [
        { tables: parent, tokens: left.slice(common), numComputed: common },
        { tables: child, tokens: right.slice(again), numComputed: again },
      ];
      if (!canCopyBlocks) await expect(step(pieces, copies)).rejects.toThrow('copied');
      expectSame(await step(pieces, canCopyBlocks ? copies : []), expected);
    });

    it('lets rejected proposals be written over', async () => {
      const expected = await alone(text(1));
      const tables = newTables();
      const wrong = text(4).slice(0, 3);
      const tokens = [...text(1).slice(0, 6), ...wrong];
      const first = await step([{ tables, tokens, numProposed: 3 }]);
      expectSame(first.slice(0, 6), expected.slice(0, 6));
      expectSame(
        await step([{ tables, tokens: text(1).slice(6), numComputed: 6 }]),
        expected.slice(6),
      );
    });

    it('answers what is asked of the rows, in columns that agree with each other', async () => {
      const { vocabSize } = fixture;
      const plan = planOf([{ tables: newTables(), tokens: text(1) }]);
      const asked = [2, 7, length - 1];
      const query = queryOf(asked, {
        topK: 5,
        targetIds: [4, 9, 11],
        softmaxSums: { rows: [1], temperatures: [1], coverMasses: [0], cutoffRatios: [0] },
        hiddenRows: [7, length - 1],
      });
      const answer = await fixture.runner.execute(plan, query);
      const rows = rowsOf(answer);
      const { topLogits, topIds, targetLogits, softmaxSums, hidden } = answer;
      expect([topLogits.length, topIds.length, rows.length]).toEqual([15, 15, 3]);
      expect(hidden.length % 2).toBe(0);
      expect(hidden.every(Number.isFinite)).toBe(true);
      for (const [s, row] of rows.entries()) {
        expect(row).toHaveLength(vocabSize);
        const order = [...row.keys()].sort((a, b) => row[b] - row[a] || a - b).slice(0, 5);
        expect([...topIds.subarray(5 * s, 5 * s + 5)]).toEqual(order);
        expect([...topLogits.subarray(5 * s, 5 * s + 5)]).toEqual(order.map((id) => row[id]));
        expect(targetLogits[s]).toBe(row[query.targetIds[s]]);
      }
      const largest = topLogits[5];
      const total = rows[1].reduce((sum, logit) => sum + Math.exp(logit - largest), 0);
      expect(Math.abs(softmaxSums[0] / total - 1)).toBeLessThan(1e-4);
    });

    it('may be asked nothing, and stores the tokens nevertheless', async () => {
      const expected = await alone(text(1));
      const tables = newTables();
      const plan = planOf([{ tables, tokens: text(1).slice(0, 9) }]);
      const answer = await fixture.runner.execute(plan, queryOf([]));
      for (const column of Object.values(answer) as ArrayLike<number>[])
        expect(column).toHaveLength(0);
      const rest = await step([{ tables, tokens: text(1).slice(9), numComputed: 9 }]);
      expectSame(rest, expected.slice(9));
      const { segments, attention } = fixture.runner.timings;
      expect(Math.min(segments, attention)).toBeGreaterThanOrEqual(0);
    });

    it(
      'may be disposed of twice',
      async () => {
        const { runner } = await create();
        await runner.dispose();
        await expect(runner.dispose()).resolves.toBeUndefined();
      },
      TIMEOUT_MS,
    );
  });
}
