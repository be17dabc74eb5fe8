import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect, test } from 'vitest';
import { systemClock } from '../../../engine/clock.js';
import { OctavoError } from '../../../engine/errors.js';
import { InlinePrompts } from '../../../engine/generation/prompts/prompt-maker.js';
import type { ModelService } from '../../../server/models.js';
import type { Models } from '../../../server/pool/models.js';
import { PrefixPins } from '../../../server/prefixes/prefix-pins.js';
import { readWarmFile, warmPrefixes } from '../../../server/prefixes/warm-file.js';
import { byteModel } from '../../support/byte-model.js';
import { ScriptedEngine } from '../../support/scripted-engine.js';

const directory = mkdtempSync(join(tmpdir(), 'octavo-prefixes-'));

function fileOf(...prefixes: object[]): string {
  const path = join(directory, 'prefixes.json');
  writeFileSync(path, JSON.stringify(prefixes));
  return path;
}

async function warm(engine: ScriptedEngine, ...prefixes: object[]) {
  const lines: string[] = [];
  const logger = pino({ base: null }, { write: (line: string) => void lines.push(line) });
  const service = {
    name: 'byte-model',
    engine,
    model: byteModel,
    prompts: new InlinePrompts(byteModel),
    settings: { enablePrefixCaching: true },
  } as unknown as ModelService;
  const models = {
    take: async () => ({ service, release: () => undefined }),
    listen: () => undefined,
  } as unknown as Models;
  const pins = new PrefixPins(models, systemClock, logger);
  const path = fileOf(...prefixes);
  await warmPrefixes(readWarmFile(path), path, pins, logger);
  return { lines, pins };
}

const pinning = (): ScriptedEngine =>
  new ScriptedEngine(({ promptTokenIds: { length }, pin }) => {
    if (pin !== 'large') return { steps: [[]], finish: 'length', pinnedTokens: length };
    const error = new OctavoError('pinned_prefixes_full', 'Pinned prefixes may hold 2 blocks');
    return { steps: [], finish: null, error };
  });

test('pins one after another, and says how much of each', async () => {
  const { lines, pins } = await warm(
    pinning(),
    { name: 'a', prompt: 'x'.repeat(20) },
    { name: 'b', messages: [{ role: 'system', content: 'x'.repeat(30) }] },
  );
  expect(lines.map((line) => (JSON.parse(line) as { msg: string }).msg)).toEqual([
    'octavo: prefix a: 16 of 20 tokens are pinned, 0 were cached',
    'octavo: prefix b: 32 of 44 tokens are pinned, 0 were cached',
  ]);
  expect(pins.list()).toMatchObject([{ name: 'a' }, { name: 'b' }]);
});

test.each<[string, object, string]>([
  ['a field of the wrong type', { name: 'a', prompt: 7 }, 'a: prompt must be '],
  ['a prefix of nothing', { name: 'a' }, 'a: missing required field prompt or messages'],
  ['what does not fit', { name: 'large', prompt: 'x'.repeat(20) }, 'large: Pinned prefixes may'],
  ['less than a block', { name: 'a', prompt: 'x' }, 'a: the prefix has 1 tokens'],
])('ends with %s, and names it', async (_, prefix, message) => {
  const engine = pinning();
  const failed = warm(engine, prefix, { name: 'next', prompt: 'x'.repeat(20) });
  await expect(failed).rejects.toMatchObject({ kind: 'usage' });
  await expect(failed).rejects.toThrow(`prefixes.json: prefix ${message}`);
  expect(engine.submitted.every(({ request }) => request.pin === 'large')).toBe(true);
});
