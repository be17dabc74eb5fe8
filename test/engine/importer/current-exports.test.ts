import { describe, expect, it, onTestFinished } from 'vitest';
import {
  ExportRunner,
  exportDir,
  exportedFamilies,
  readGolden,
} from '../../support/export-fixtures.js';

/**
 * Exporters of 2026, whose models are compared with transformers 5: see
 * test/fixtures/exports/current.py.
 */
const EXPORTERS = [
  'transformers-5',
  'transformers-5-ort',
  'mobius-24',
  'mobius-cpu',
  'mobius-parts',
  'mobius-static',
  'torch-23-transformers-5',
];
const CHUNK = 24;

describe.each(EXPORTERS)('an export by %s says what transformers says', (exporter) => {
  it.each(exportedFamilies(exporter))('%s, alone and four at once', async (family) => {
    const { prompts, tokens, logits } = readGolden(`transformers-5/${family}`);
    const runner = await ExportRunner.load(exportDir(exporter, family));
    onTestFinished(() => runner.dispose());
    const newTokens = tokens[0].length;
    for (const size of [1, 4]) {
      for (let first = 0; first < prompts.length; first += size) {
        const group = prompts.slice(first, first + size);
        const results = await runner.generate(group, newTokens, CHUNK);
        expect(results.map((result) => result.tokens)).toEqual(tokens.slice(first, first + size));
        for (const [i, result] of results.entries()) {
          const [expected] = logits[first + i];
          const worst = result.first.reduce(
            (max, x, k) => Math.max(max, Math.abs(x - expected[k])),
            0,
          );
          expect(worst).toBeLessThan(1e-3);
        }
      }
    }
  });
});
