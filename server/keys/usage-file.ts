import { readFileSync } from 'node:fs';
import type { Logger } from 'pino';
import { Type } from 'typebox';
import { Check } from 'typebox/value';
import { clip } from '../../engine/clip.js';
import type { Clock } from '../../engine/clock.js';
import { OctavoError } from '../../engine/errors.js';
import { writeAtomically } from '../atomic-file.js';
import { KeyUsage, type UsageRow } from './key-usage.js';

/** After a crash, what was used in so many milliseconds may be missing. */
const WRITE_MS = 5000;

const Count = Type.Integer({ minimum: 0 });

const FileSchema = Type.Object({
  version: Type.Literal(1),
  rows: Type.Array(
    Type.Object({
      key: Type.String(),
      day: Type.String({ pattern: '^\\d{4}-\\d{2}-\\d{2}$' }),
      model: Type.String(),
      requests: Count,
      failed: Count,
      promptTokens: Count,
      cachedTokens: Count,
      completionTokens: Count,
    }),
  ),
});

/** Usage that is kept in a file. */
export interface KeptUsage {
  readonly usage: KeyUsage;
  /** Writes what is not written yet. */
  close(): Promise<void>;
}

/**
 * The usage of before, if there is a file, which is written again while the server runs. A file
 * that cannot be written is tried again, and the log says so once.
 *
 * @param path undefined: it is kept in memory only
 * @throws OctavoError `usage` for a file that is something else
 */
export async function openUsage(
  path: string | undefined,
  clock: Clock,
  logger: Logger,
): Promise<KeptUsage> {
  const now = (): number => clock.unixSeconds();
  if (path === undefined) return { usage: new KeyUsage(now), close: () => Promise.resolve() };
  const usage = new KeyUsage(now, readRows(path));
  // Where it cannot be written, the server does not begin.
  try {
    await write(path, usage);
  } catch (error) {
    throw fail(path, `cannot be written (${(error as NodeJS.ErrnoException).code ?? 'unknown'})`);
  }
  let isFailing = false;
  const save = async (): Promise<void> => {
    if (!usage.takeChanged()) return;
    try {
      await write(path, usage);
      isFailing = false;
    } catch (error) {
      usage.putBackChanged();
      if (!isFailing) logger.error({ err: error }, `octavo: ${path}: the usage cannot be written`);
      isFailing = true;
    }
  };
  let saving = Promise.resolve();
  const timer = clock.startTimer(() => {
    saving = save();
    void saving.then(() => timer.restart());
  }, WRITE_MS);
  return {
    usage,
    close: async () => {
      await saving;
      timer.cancel();
      await save();
    },
  };
}

const write = (path: string, { rows }: KeyUsage): Promise<void> =>
  writeAtomically(path, `${JSON.stringify({ version: 1, rows })}\n`);

function readRows(path: string): readonly UsageRow[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return [];
    throw fail(path, `cannot be read (${code ?? 'unknown'})`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text) as unknown;
  } catch {
    value = null;
  }
  if (Check(FileSchema, value)) return value.rows;
  throw fail(path, 'is no file of usage: move it away to begin a new one');
}

function fail(path: string, problem: string): OctavoError {
  const message = `--usage-file ${clip(path)}: ${problem}`;
  return new OctavoError('usage', message, { param: '--usage-file' });
}
