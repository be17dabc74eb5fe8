import { once } from 'node:events';
import { text as readAll } from 'node:stream/consumers';
import { OctavoError } from '../../engine/errors.js';
import type { Settings } from '../config/settings.js';
import { type AnswerOptions, LocalModel } from './local-model.js';

export interface GenerateOptions extends AnswerOptions {
  /** What comes before the prompt, as the chat template's system message; null: nothing. */
  readonly system: string | null;
  /** The prompt is continued as it stands, without the chat template. */
  readonly raw: boolean;
}

const INTERRUPTED = 130;

/** As a shell shows a program that a broken pipe has ended: 128 plus SIGPIPE. */
const BROKEN_PIPE = 141;

/**
 * `octavo generate`: streams one completion to stdout. Ctrl-C ends it after what has been printed, and so does a reader who has enough
 * (`octavo generate ... | head`).
 *
 * @param given the prompt; `-` or none is read from standard input
 * @returns the exit code
 */
export async function generate(
  given: string | undefined,
  options: GenerateOptions,
  settings: Settings,
): Promise<number> {
  const prompt = given === undefined || given === '-' ? await readPrompt(given) : given;
  const log = (line: string): void => void process.stderr.write(`${line}\n`);
  const local = await LocalModel.load(settings, log);
  const controller = new AbortController();
  const interrupt = (): void => controller.abort();
  process.once('SIGINT', interrupt);
  let unwritten: NodeJS.ErrnoException | null = null;
  process.stdout.on('error', (error) => {
    unwritten ??= error;
    controller.abort();
  });
  try {
    const system = options.system === null ? [] : [{ role: 'system', content: options.system }];
    const promptTokenIds = options.raw
      ? local.encode(prompt)
      : local.encodeChat([...system, { role: 'user', content: prompt }]);
    const before = options.raw ? promptTokenIds : [];
    const { summary } = await local.answer(
      promptTokenIds,
      before,
      options,
      controller.signal,
      async (text) => {
        // An error has been noted by then.
        if (!process.stdout.write(text)) await once(process.stdout, 'drain').catch(() => undefined);
      },
    );
    if (unwritten !== null) return brokenOutput(unwritten);
    process.stdout.write('\n');
    if (process.stderr.isTTY) process.stderr.write(`${summary}\n`);
    return controller.signal.aborted ? INTERRUPTED : 0;
  } finally {
    process.off('SIGINT', interrupt);
    await local.close();
  }
}

/**
 * All of standard input, without the line's end that `echo` adds.
 *
 * @throws OctavoError `usage` when nobody said that it is to be typed, or nothing came
 */
async function readPrompt(given: '-' | undefined): Promise<string> {
  if (given === undefined && process.stdin.isTTY) {
    throw new OctavoError(
      'usage',
      'no prompt: give one, or - to type it (Ctrl-D ends it), or a pipe; octavo chat is a conversation',
    );
  }
  const prompt = (await readAll(process.stdin)).replace(/\r?\n$/, '');
  if (prompt === '') throw new OctavoError('usage', 'no prompt: standard input is empty');
  return prompt;
}

/** @throws what kept the text from being written, unless its reader has left */
function brokenOutput(error: NodeJS.ErrnoException): number {
  if (error.code === 'EPIPE') return BROKEN_PIPE;
  throw error;
}
