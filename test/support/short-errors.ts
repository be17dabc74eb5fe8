import type { TestError } from 'vitest';
import type { Reporter, TestCase, TestModule } from 'vitest/node';

const FIRST_LINES = 100;
/** Where a process has printed its last words, they say why. */
const LAST_LINES = 30;
const MOST_CHARACTERS = 2000;

/**
 * Shortens what failing tests print, before other reporters print it: a log of CI with tens of
 * thousands of lines of one difference hides what failed, or is cut before it.
 */
export default class ShortErrors implements Reporter {
  onTestCaseResult(test: TestCase): void {
    for (const error of test.result().errors ?? []) shortenError(error);
  }

  onTestModuleEnd(module: TestModule): void {
    for (const error of module.errors()) shortenError(error);
  }
}

/** In place. What a test threw need not be an error: each of the texts may be missing. */
export function shortenError(error: Partial<TestError>): void {
  const { message, stack, diff, cause } = error;
  if (message !== undefined) error.message = shorten(message);
  // It begins with the message; the lines of code behind it must stay.
  if (stack !== undefined) {
    error.stack = stack.replace(message ?? '', () => error.message ?? '');
  }
  if (diff !== undefined) error.diff = shorten(diff);
  if (cause) shortenError(cause);
}

/** The first and the last lines of a text, and of each its beginning. */
function shorten(text: string): string {
  const lines = text.split('\n').map((line) => {
    const more = line.length - MOST_CHARACTERS;
    return more > 0 ? `${line.slice(0, MOST_CHARACTERS)} ... ${more} more characters` : line;
  });
  const more = lines.length - FIRST_LINES - LAST_LINES;
  if (more > 0) lines.splice(FIRST_LINES, more, `... ${more} more lines ...`);
  return lines.join('\n');
}
