import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { clip } from '../../engine/clip.js';
import { OctavoError } from '../../engine/errors.js';
import { type ReplayResult, replayTrace } from '../../engine/trace/replay.js';

/**
 * `octavo replay`: repeats the decisions of a traced scheduler, and reports the first that differs.
 *
 * @returns the exit code: 0 when every decision is the same
 */
export async function replay(file: string): Promise<number> {
  const result = await replayTrace(linesOf(file));
  process.stdout.write(`${describe(result)}\n`);
  return result.difference ? 1 : 0;
}

async function* linesOf(file: string): AsyncGenerator<string> {
  const input = createReadStream(file, 'utf8');
  try {
    yield* createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY });
  } catch (error) {
    if (error instanceof OctavoError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new OctavoError('usage', `${file}: cannot be read: ${reason}`, { cause: error });
  } finally {
    input.destroy();
  }
}

function describe({ runs, requests, steps, difference }: ReplayResult): string {
  const done = `runs: ${runs}, requests: ${requests}, steps: ${steps}`;
  if (!difference) return `${done}. Every decision is the same.`;
  const { line, event, at, traced, replayed } = difference;
  const where = at === '' ? '' : ` at ${at}`;
  return (
    `${done}. Line ${line}: ${event} differs${where}\n` +
    `  traced:   ${clip(JSON.stringify(traced) ?? 'absent')}\n` +
    `  replayed: ${clip(JSON.stringify(replayed) ?? 'absent')}`
  );
}
