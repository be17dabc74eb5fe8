import { text as readAll } from 'node:stream/consumers';
import { OctavoError } from '../../engine/errors.js';
import type { OutputFlags } from '../config/generate-flags.js';
import type { Settings } from '../config/settings.js';
import { LocalModel } from './local-model.js';
import { StandardOutput } from './standard-output.js';

const INTERRUPTED = 130;

/**
 * `octavo generate`: streams one completion to stdout. Ctrl-C ends it, and so does a reader that
 * closes the pipe (`octavo generate ... | head`).
 *
 * @param given the prompt; `-` or none is read from standard input
 * @returns the exit code
 */
export async function generate(
  given: string | undefined,
  options: OutputFlags,
  settings: Settings,
): Promise<number> {
  const prompt = given === undefined || given === '-' ? await readPrompt(given) : given;
  return answerOnce(prompt, options, settings);
}

/**
 * Streams one answer to stdout.
 *
 * @returns the exit code
 */
export async function answerOnce(
  prompt: string,
  { answer, system, raw }: OutputFlags,
  settings: Settings,
): Promise<number> {
  const log = (line: string): void => void process.stderr.write(`${line}\n`);
  const local = await LocalModel.load(settings, log);
  const controller = new AbortController();
  const interrupt = (): void => controller.abort();
  process.once('SIGINT', interrupt);
  const output = new StandardOutput(interrupt);
  try {
    if (!raw) local.assertHasTemplate();
    const instructions = system === null ? [] : [{ role: 'system', content: system }];
    const input = raw ? prompt : [...instructions, { role: 'user', content: prompt }];
    const { signal } = controller;
    const write = (text: string): Promise<void> => output.write(text);
    const { summary } = await local.answer(input, answer, signal, write);
    if (output.isBroken) return output.exitCode();
    process.stdout.write('\n');
    if (process.stderr.isTTY) process.stderr.write(`${summary}\n`);
    return signal.aborted ? INTERRUPTED : 0;
  } finally {
    process.off('SIGINT', interrupt);
    await local.close();
  }
}

/**
 * All of standard input, without the line's end that `echo` adds.
 *
 * @throws OctavoError `usage` on a terminal without `-`, or for empty input
 */
async function readPrompt(given: '-' | undefined): Promise<string> {
  if (given === undefined && process.stdin.isTTY) {
    throw new OctavoError(
      'usage',
      'no prompt: give one, or - to type it (Ctrl-D ends it), or a pipe; octavo run is a conversation',
    );
  }
  const prompt = (await readAll(process.stdin)).replace(/\r?\n$/, '');
  if (prompt === '') throw new OctavoError('usage', 'no prompt: standard input is empty');
  return prompt;
}
