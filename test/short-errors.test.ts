import { expect, test } from 'vitest';
import { shortenError } from './support/short-errors.js';

test('a failure with a long message keeps both ends of it, and its lines of code', () => {
  const message = Array.from({ length: 20_000 }, (_, i) => `line ${i}`).join('\n');
  const frame = '    at /work/test/a.test.ts:5:25';
  const failure = { message, stack: `Error: ${message}\n${frame}`, diff: '-'.repeat(1e6) };
  const error = { message: 'short', cause: failure };
  shortenError(error);
  const kept = failure.message.split('\n');
  expect(kept).toHaveLength(131);
  expect([kept[99], kept[100], kept[101]]).toEqual([
    'line 99',
    '... 19870 more lines ...',
    'line 19970',
  ]);
  expect(failure.stack).toBe(`Error: ${failure.message}\n${frame}`);
  expect(failure.diff).toBe(`${'-'.repeat(2000)} ... 998000 more characters`);
  expect(error.message).toBe('short');
});

test('what a test threw need not be an error', () => {
  const thrown = { code: 7 };
  shortenError(thrown);
  expect(thrown).toEqual({ code: 7 });
});
