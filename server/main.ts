import '../engine/environment/no-telemetry.js';
import { type Command, CommanderError } from 'commander';
import { OctavoError } from '../engine/errors.js';
import { usageError } from './config/flags.js';
import { buildProgram, givenCommand } from './program.js';

type Options = Record<string, unknown>;

const VERBOSE_LEVELS: ReadonlySet<unknown> = new Set(['debug', 'trace']);

/** Runs the command line. @returns the exit code */
export async function main(): Promise<number> {
  let code = 0;
  const program = buildProgram((result) => {
    code = result;
  });
  try {
    await program.parseAsync();
    return code;
  } catch (error) {
    if (!(error instanceof CommanderError)) {
      return report(error, VERBOSE_LEVELS.has(logLevel(program)));
    }
    const command = givenCommand(program, process.argv.slice(2));
    if (error.code === 'commander.help') {
      command.outputHelp();
      return 0;
    }
    const known = usageError(error, command);
    return known === null ? 0 : report(known, false);
  }
}

/** Prints one line for the user, and the stack with `--log-level debug`. */
function report(error: unknown, verbose: boolean): number {
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`octavo: ${message.replaceAll(/\s*\p{Cc}+\s*/gu, ' ')}\n`);
  if (verbose && error instanceof Error) process.stderr.write(`${error.stack}\n`);
  return error instanceof OctavoError ? error.entry.exitCode : 1;
}

/** The log level, as far as it is known when an error occurs. */
function logLevel(program: Command): unknown {
  const options = program.commands.map((command) => command.opts<Options>()['logLevel']);
  return options.flat().find((level) => level !== undefined) ?? process.env['OCTAVO_LOG_LEVEL'];
}
