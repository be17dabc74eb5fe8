import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { partWidths, splitRows } from '../../engine/attention/packed-rows.js';
import type { PagedAttentionConfig } from '../../engine/attention/page-layout.js';
import type {
  AttentionBatch,
  KvDtype,
  PagedAttention,
  PageSelector,
} from '../../engine/attention/paged-attention.js';
import { type AttentionCase, attentionCase, numbers } from '../support/attention-cases.js';
import { MaskedAttention } from '../support/masked-attention.js';
import { sameBits } from '../support/same-bits.js';

/** Whether a page is read: in every layer, step and sequence other ones. */
type Choice = (layer: number, sequence: number, place: number) => boolean;

/**
 * The formats round K and V alike. But one side may rotate in float64: what then lies halfway
 * between two steps of a format may be stored one step apart. Pages of integers are multiplied by
 * queries and weights that are integers, too.
 */
const BOUNDS: Readonly<Record<KvDtype, { plain: number; rotated: number }>> = {
  f32: { plain: 1e-5, rotated: 1e-5 },
  bf16: { plain: 1e-5, rotated: 2e-2 },
  int16: { plain: 2e-4, rotated: 3e-4 },
  int8: { plain: 2e-4, rotated: 2e-2 },
};

/** Each sequence has blocks of its own: its first one is its name. */
const nameOf = ({ blockTables: [{ starts, blocks }] }: AttentionBatch, s: number): number =>
  blocks[starts[s]];

/**
 * What every implementation of `PagedAttention` computes: what attention with a mask does over the
 * same keys, wherever its pages are, and whichever of them a selector leaves out. To be called with
 * each.
 *
 * @param create with pages that are poisoned: whatever is read before it was written makes the
 *   outputs NaN
 */
export function describePagedAttention(
  name: string,
  create: (config: PagedAttentionConfig) => PagedAttention,
  { numRuns = 15 } = {},
): void {
  describe(`${name}, as any paged attention`, () => {
    it.each([
      ['reads all pages where nothing is selected', false],
      ['reads the selected pages and those of the step, as if the others were masked', true],
    ])('%s', async (_, drops) => {
      await fc.assert(
        fc.asyncProperty(attentionCase, fc.nat({ max: 1000 }), async (testCase, salt) => {
          const choice: Choice = (layer, sequence, place) =>
            !drops || hash(salt, layer, sequence, place) % 3 > 0;
          const selector = drops ? { selector: selectorOf(choice) } : {};
          await compare(create({ ...testCase.config, ...selector }), testCase, choice);
        }),
        { numRuns, seed: 20261130 },
      );
    });

    it('never touches a page that is not selected', async () => {
      await fc.assert(
        fc.asyncProperty(attentionCase, fc.nat({ max: 1000 }), async (testCase, salt) => {
          // The same in all layers: a block has pages of each.
          const choice: Choice = (_, sequence, place) => hash(salt, 0, sequence, place) % 2 > 0;
          const attention = create({ ...testCase.config, selector: selectorOf(choice) });
          const { blockSize } = testCase.config;
          await compare(attention, testCase, choice, (batch) => {
            const poison = new Uint8Array(attention.pages.bytesPerBlock).fill(0xff);
            for (let s = 0; s < batch.numSequences; s++) {
              const { starts, blocks } = batch.blockTables[0];
              const full = Math.floor(batch.contextLengths[s] / blockSize);
              for (let place = 0; place < full; place++) {
                if (choice(0, nameOf(batch, s), place)) continue;
                attention.pages.write(blocks[starts[s] + place], poison);
              }
            }
          });
        }),
        { numRuns, seed: 20261201 },
      );
    });

    it('takes queries, keys and values side by side, with the same bits', async () => {
      await fc.assert(
        fc.asyncProperty(attentionCase, fc.boolean(), async ({ config, steps }, selects) => {
          const layers = config.layers.filter(({ pagesOf }) => pagesOf === undefined);
          fc.pre(layers.length === config.layers.length);
          const selector = selects ? { selector: selectorOf((_, __, place) => place !== 1) } : {};
          const [apart, together] = [0, 1].map(() => create({ ...config, ...selector }));
          for (const { batch, numTokens, seed } of steps) {
            apart.beginStep(batch);
            together.beginStep(batch);
            for (const [layer, shape] of layers.entries()) {
              const widths = partWidths(shape);
              const rows = numbers(numTokens * (widths[0] + 2 * widths[1]), seed + layer);
              const [query, key, value] = splitRows(rows, widths);
              const [expected, output] = [0, 1].map(() => query.slice().fill(Number.NaN));
              apart.store(layer, key, value);
              apart.attend(layer, query, expected);
              together.attendPacked(layer, rows, output);
              expect(sameBits(output, expected)).toBe(true);
            }
          }
          for (const attention of [apart, together]) await attention.dispose();
        }),
        { numRuns, seed: 20261202 },
      );
    });

    it('refuses a selection of another length than the tables', async () => {
      const [testCase] = fc.sample(attentionCase, { numRuns: 1, seed: 1 });
      const selector: PageSelector = { select: () => new Uint8Array(1000) };
      const attention = create({ ...testCase.config, selector });
      await expect(compare(attention, testCase, () => true)).rejects.toThrow(
        /^layer 0: 1000 pages are selected from, \d+ there are$/,
      );
    });
  });
}

function selectorOf(choice: Choice): PageSelector {
  return {
    select: ({ layer, batch, tables: { starts, blocks } }) => {
      const selection = new Uint8Array(blocks.length);
      for (let s = 0; s < batch.numSequences; s++) {
        for (let i = starts[s]; i < starts[s + 1]; i++) {
          selection[i] = choice(layer, nameOf(batch, s), i - starts[s]) ? 1 : 0;
        }
      }
      return selection;
    },
  };
}

/**
 * Runs a case, and beside it attention with a mask.
 *
 * @param afterStep with the batch of the step that has ended
 */
async function compare(
  attention: PagedAttention,
  { config, steps }: AttentionCase,
  choice: Choice,
  afterStep: (batch: AttentionBatch) => void = () => undefined,
): Promise<void> {
  const { layers, blockSize, kvDtype } = config;
  const bound = BOUNDS[kvDtype][layers[0].rotary ? 'rotated' : 'plain'];
  const plain = new Map<string, MaskedAttention>();
  try {
    for (const { batch, numTokens, seed } of steps) {
      attention.beginStep(batch);
      for (const [layer, shape] of layers.entries()) {
        const { numHeads, numKvHeads, headSize, pagesOf } = shape;
        const kvWidth = numKvHeads * headSize;
        const width = numHeads * headSize;
        const key = numbers(numTokens * kvWidth, seed + 100 + layer);
        const value = numbers(numTokens * kvWidth, seed + 200 + layer);
        const query = numbers(numTokens * width, seed + layer);
        const output = new Float32Array(numTokens * width).fill(Number.NaN);
        if (pagesOf === undefined) attention.store(layer, key, value);
        attention.attend(layer, query, output);
        for (let s = 0; s < batch.numSequences; s++) {
          const name = nameOf(batch, s);
          const owner = `${pagesOf ?? layer} ${name}`;
          const kept = plain.get(owner) ?? new MaskedAttention(shape, kvDtype);
          plain.set(owner, kept);
          const [start, end] = [batch.queryStarts[s], batch.queryStarts[s + 1]];
          const past = batch.contextLengths[s] - (end - start);
          const part = (rows: Float32Array, row: number, size: number): Float32Array =>
            rows.slice(row * size, (row + 1) * size);
          const ownRows = pagesOf === undefined ? end : start;
          for (let row = start; row < ownRows; row++) {
            kept.append(part(key, row, kvWidth), part(value, row, kvWidth));
          }
          const own = Math.floor(past / blockSize);
          const sees = (position: number): boolean => {
            const place = Math.floor(position / blockSize);
            return place >= own || choice(layer, name, place);
          };
          for (let row = start; row < end; row++) {
            const position = past + row - start;
            const last = batch.lastSeen?.[row] ?? position;
            const expected = kept.attend(shape, part(query, row, width), position, last, sees);
            expect(difference(part(output, row, width), expected)).toBeLessThan(bound);
          }
        }
      }
      afterStep(batch);
    }
  } finally {
    await attention.dispose();
  }
}

/** Largest difference, relative to the size of the numbers (which lie in [-1, 1]). */
function difference(actual: Float32Array, expected: readonly number[]): number {
  let worst = 0;
  for (const [i, x] of expected.entries()) {
    const d = Math.abs(actual[i] - x) / Math.max(1, Math.abs(x));
    if (!(d <= worst)) worst = d;
  }
  return worst;
}

function hash(...values: readonly number[]): number {
  return values.reduce((h, value) => Math.imul(h ^ value, 0x01000193) >>> 4, 0x811c9dc5);
}
