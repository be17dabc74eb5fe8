import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { KEYWORDS } from '../../../engine/grammar/schema/keywords.js';
import { REFUSED_SCHEMAS, SCHEMA_CASES } from './schema-cases.js';

describe('the table of keywords', () => {
  it('is the one in the documentation', () => {
    const page = readFileSync(
      new URL('../../../docs/structured-output.md', import.meta.url),
      'utf8',
    );
    const rows = Object.entries(KEYWORDS).map(
      ([keyword, [role, note]]) => `| \`${keyword}\` | ${role} | ${note} |`,
    );
    const table = page.split('| keyword | | |\n|---|---|---|\n')[1].split('\n\n')[0];
    expect(table).toBe(rows.join('\n'));
  });

  it('has a case for each keyword that is enforced', () => {
    const cases = JSON.stringify([SCHEMA_CASES, REFUSED_SCHEMAS]);
    const enforced = Object.entries(KEYWORDS).filter(
      ([, [role]]) => role === 'enforced' || role === 'limited',
    );
    expect(
      enforced.map(([keyword]) => keyword).filter((keyword) => !cases.includes(`"${keyword}":`)),
    ).toEqual([]);
  });
});
