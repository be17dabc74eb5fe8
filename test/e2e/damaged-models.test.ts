import { expect, it } from 'vitest';
import { cutShort, DAMAGES, type DamageCase, damaged } from '../support/damaged-model.js';
import { hugeModel } from '../support/huge-model.js';
import { runOctavo } from '../support/octavo-process.js';

const SHOWN = new Set([
  'a cyclic graph',
  'external data that is cut short',
  'external data behind a link',
]);
const TEXT: readonly DamageCase[] = [
  [
    'half a tokenizer.json',
    cutShort('tokenizer.json', 50_000),
    /tokenizer\.json is not valid JSON/,
  ],
  [
    'half a tokenizer_config.json',
    cutShort('tokenizer_config.json', 50),
    /tokenizer_config\.json is not valid JSON/,
  ],
];

it.each([...DAMAGES.filter(([name]) => SHOWN.has(name)), ...TEXT])(
  '%s keeps a server from starting, with one line',
  async (_, damage, reason) => {
    const directory = damaged(damage);
    const { code, stderr } = await runOctavo(['serve', '--port', '0', '--model', directory]);
    expect(stderr).toMatch(reason);
    expect(stderr.startsWith(`octavo: ${directory}`)).toBe(true);
    expect(stderr.trimEnd()).not.toContain('\n');
    expect(code).toBe(1);
  },
);

it('a model with 5 GB of external data is inspected', async () => {
  const { code, stdout } = await runOctavo(['inspect', hugeModel()]);
  expect(code).toBe(0);
  expect(stdout).toMatch(/weights +5\.0 GiB/);
});
