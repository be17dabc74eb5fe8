import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { type QualityReport, withQualityTable } from '../../bench/lib/quality-table.js';

const read = (path: string): string =>
  readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

it('docs/quantization.md has the table that the results of bench:quality give', () => {
  const page = read('docs/quantization.md');
  const report = JSON.parse(read('bench/results/quality.json')) as QualityReport;
  expect(withQualityTable(page, report)).toBe(page);
});
