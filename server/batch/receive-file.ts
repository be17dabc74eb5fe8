import { once } from 'node:events';
import { createReadStream, createWriteStream } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { OctavoError } from '../../engine/errors.js';
import { type BatchLine, BatchLineReader } from './batch-lines.js';

/** OpenAI's limit, too: a batch's `custom_id`s are held in memory. */
const MOST_REQUESTS = 50_000;

/**
 * Writes a file while it comes. The caller removes it when this throws.
 *
 * @throws OctavoError `body_too_large`; the stream's error
 */
export async function receiveFile(
  content: Readable & { readonly truncated?: boolean },
  path: string,
  mostBytes: number,
): Promise<void> {
  await pipeline(content, createWriteStream(path, { mode: 0o600 }));
  if (content.truncated === true) throw tooLarge(mostBytes);
}

/** @param mostBytes that are allowed */
export function tooLarge(mostBytes: number): OctavoError {
  const message = `file: it has more than ${mostBytes} bytes, which the server allows (--max-batch-file-size)`;
  return new OctavoError('body_too_large', message, { param: 'file' });
}

/** The requests of a file, with their lines' numbers. @throws what `fail` throws */
export async function* readRequests(
  path: string,
  fail: (problem: string, number: number) => never,
): AsyncGenerator<{ readonly line: BatchLine; readonly number: number }, void> {
  const input = createReadStream(path);
  await once(input, 'open');
  const reader = new BatchLineReader();
  let number = 0;
  try {
    for await (const text of createInterface({ input, crlfDelay: Infinity })) {
      number += 1;
      const at = number;
      const line = reader.read(text, at, (problem) => fail(problem, at));
      if (line) yield { line, number };
      if (reader.count > MOST_REQUESTS)
        fail(`is request ${reader.count}; at most ${MOST_REQUESTS} are allowed`, at);
    }
  } finally {
    input.destroy();
  }
}

/**
 * Checks every line of an upload.
 *
 * @returns how many requests it has
 * @throws OctavoError `invalid_request` for the first line that is no request
 */
export async function countRequests(path: string): Promise<number> {
  let count = 0;
  const lines = readRequests(path, (problem, number) => {
    throw new OctavoError('invalid_request', `file: line ${number}: ${problem}`, { param: 'file' });
  });
  for await (const _ of lines) count += 1;
  if (count > 0) return count;
  throw new OctavoError('invalid_request', 'file: it has no request', { param: 'file' });
}
