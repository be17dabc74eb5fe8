import { text as readAll } from 'node:stream/consumers';
import { OctavoError } from '../../engine/errors.js';
import type { OutputFlags } from '../config/generate-flags.js';
import type { Settings } from '../config/settings.js';
import { Conversation } from './conversation.js';
import { answerOnce } from './generate.js';
import { LocalModel } from './local-model.js';
import { StandardOutput } from './standard-output.js';
import { TerminalLines } from './terminal-lines.js';

/**
 * `octavo run`: a conversation on the terminal, without a server. With a prompt, or in a pipe, one
 * answer: to what comes through the pipe, and the prompt after it.
 *
 * @returns the exit code
 */
export async function run(
  given: string | undefined,
  options: OutputFlags,
  settings: Settings,
): Promise<number> {
  if (given !== undefined || !process.stdin.isTTY) {
    const piped = process.stdin.isTTY ? '' : await readAll(process.stdin);
    const prompt = [piped.trimEnd(), given ?? ''].filter((text) => text !== '').join('\n\n');
    if (prompt === '') throw new OctavoError('usage', 'no prompt: standard input is empty');
    return answerOnce(prompt, options, settings);
  }
  const note = (line: string): void => void process.stderr.write(`${line}\n`);
  const local = await LocalModel.load(settings, note);
  const isTerminal = process.stdout.isTTY;
  const lines = new TerminalLines(isTerminal);
  try {
    // Reports a model without a chat template at once, not after the first message.
    local.assertHasTemplate();
    const next = (prompt: string): Promise<string | null> => lines.next(prompt);
    const ends = { local, next, out: new StandardOutput(), note, isTerminal };
    return await new Conversation(ends, options).run();
  } finally {
    lines.close();
    await local.close();
  }
}
