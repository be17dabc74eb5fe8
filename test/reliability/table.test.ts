import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

const read = (path: string): string =>
  readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

it('every row of docs/reliability.md names a test that exists', () => {
  const rows =
    read('docs/reliability.md')
      .match(/^\|.*\|$/gm)
      ?.slice(2) ?? [];
  expect(rows.length).toBeGreaterThan(5);
  for (const row of rows) {
    const [, file, name] = /\| `(test\/[\w./-]+)`: (.+) \|$/.exec(row) ?? [];
    expect([row, file]).toEqual([row, expect.any(String)]);
    expect([row, read(file).includes(name)]).toEqual([row, true]);
  }
});
