import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ERRORS } from '../../engine/errors.js';

const read = (path: string): string =>
  readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
const page = read('docs/errors.md');

/** Cells of the table's rows, without their quotes. */
const rows = page
  .split('\n')
  .filter((line) => line.startsWith('| `'))
  .map((line) => line.split('|').slice(1, -1))
  .map((cells) => cells.map((cell) => cell.trim()));

describe('docs/errors.md', () => {
  it('has a row for each error, in the order of the table, with what the code says of it', () => {
    const plain = rows.map((cells) => cells.slice(0, 5).map((cell) => cell.replaceAll('`', '')));
    expect(plain).toEqual(
      Object.entries(ERRORS).map(([kind, { status, type, code, exitCode }]) => [
        kind,
        String(status),
        type,
        code ?? 'null',
        String(exitCode),
      ]),
    );
  });

  it('says of each what it means and what to do', () => {
    for (const [kind, , , , , meaning, remedy] of rows) {
      expect([kind, meaning, remedy]).toEqual([
        kind,
        expect.stringMatching(/^.{10,}\.$/),
        expect.stringMatching(/^.{4,}\.$/),
      ]);
    }
  });

  it('names flags that exist', () => {
    const flags = read('docs/flags.md');
    const named = [...page.matchAll(/`(--[a-z-]+)[^`]*`/g)].map(([, flag]) => flag);
    expect(named.length).toBeGreaterThan(5);
    expect(named.filter((flag) => !flags.includes(`\`${flag}`))).toEqual([]);
  });
});
