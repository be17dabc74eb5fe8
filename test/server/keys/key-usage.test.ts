import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect, onTestFinished, test } from 'vitest';
import { systemClock } from '../../../engine/clock.js';
import { KeyUsage } from '../../../server/keys/key-usage.js';
import { openUsage } from '../../../server/keys/usage-file.js';
import { newRecord } from '../../../server/request-record.js';

const DAY = 86_400;

const record = (model: string, tokens: number) => ({
  ...newRecord('id', model),
  promptTokens: 10,
  completionTokens: tokens,
});

test('rows are by key, day and model; old days go when a day begins', () => {
  let now = Date.UTC(2026, 0, 1) / 1000;
  const usage = new KeyUsage(() => now);
  usage.note('a', record('m', 1), false);
  usage.note('a', record('m', 2), true);
  usage.note('a', record('n', 4), false);
  now += DAY;
  usage.note('a', record('m', 8), false);
  expect(
    usage.rows.map(({ day, model, requests, failed, completionTokens }) => ({
      day,
      model,
      requests,
      failed,
      completionTokens,
    })),
  ).toEqual([
    { day: '2026-01-01', model: 'm', requests: 2, failed: 1, completionTokens: 3 },
    { day: '2026-01-01', model: 'n', requests: 1, failed: 0, completionTokens: 4 },
    { day: '2026-01-02', model: 'm', requests: 1, failed: 0, completionTokens: 8 },
  ]);
  now += 91 * DAY;
  usage.note('b', record('m', 1), false);
  expect(usage.rows.map(({ day }) => day)).toEqual(['2026-01-02', '2026-04-03']);
  // Counters of Prometheus never decrease.
  expect(usage.totals.get('a')).toMatchObject({ requests: 4, completionTokens: 15 });
});

test('models without end are counted together', () => {
  const usage = new KeyUsage(() => 0);
  for (let i = 0; i < 60; i++) usage.note('a', record(`m${i}`, 1), false);
  expect(usage.rows).toHaveLength(51);
  expect(usage.rows.at(-1)).toMatchObject({ model: 'other', requests: 10 });
});

function usagePath(): string {
  const directory = mkdtempSync(join(tmpdir(), 'octavo-usage-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  return join(directory, 'usage.json');
}

test('the table is there again after a restart', async () => {
  const path = usagePath();
  const logger = pino({ level: 'silent' });
  const first = await openUsage(path, systemClock, logger);
  first.usage.note('a', record('m', 3), false);
  await first.close();
  const second = await openUsage(path, systemClock, logger);
  second.usage.note('a', record('m', 4), false);
  await second.close();
  expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({
    version: 1,
    rows: [{ key: 'a', model: 'm', requests: 2, completionTokens: 7 }],
  });
});

test('a file that is something else, or cannot be written, keeps the server from starting', async () => {
  const path = usagePath();
  const open = (file: string) => openUsage(file, systemClock, pino({ level: 'silent' }));
  writeFileSync(path, '{"version":2}');
  await expect(open(path)).rejects.toThrow(
    `--usage-file ${path}: is no file of usage: move it away to begin a new one`,
  );
  expect(readFileSync(path, 'utf8')).toBe('{"version":2}');
  await expect(open(join(path, 'x'))).rejects.toThrow('cannot be read (ENOTDIR)');
  await expect(open('/does/not/exist')).rejects.toThrow('cannot be written (ENOENT)');
});
