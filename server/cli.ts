#!/usr/bin/env node
import { Command, CommanderError } from 'commander';
import { OctavoError } from '../engine/errors.js';
import { addSettingFlags, flagTexts, usageError } from './config/flags.js';
import { addGenerateFlags, generateOptions } from './config/generate-flags.js';
import { loadSettings } from './config/load-settings.js';
import { packageVersion } from './config/package-root.js';
import type { Settings } from './config/settings.js';

type Options = Record<string, unknown>;

const VERBOSE_LEVELS: ReadonlySet<unknown> = new Set(['debug', 'trace']);

const settingsOf = (options: Options): Settings => loadSettings(flagTexts(options), process.env);

/** Commands are loaded when they run: `--help` and errors of usage need neither model nor server. */
function buildProgram(finish: (code: number) => void): Command {
  const program = new Command('octavo')
    .description('LLM serving: continuous batching, a paged KV cache, an OpenAI-compatible API')
    .version(packageVersion(), '-V, --version');

  const serveCommand = program.command('serve').description('serve a model over HTTP');
  addSettingFlags(serveCommand, 'all');
  serveCommand.action(async (options: Options) => {
    const settings = settingsOf(options);
    const { serve } = await import('./commands/serve.js');
    finish(await serve(settings));
  });

  const generateCommand = program
    .command('generate')
    .description('print a streamed completion')
    .argument('<prompt>', 'what to say to the model');
  addGenerateFlags(generateCommand);
  addSettingFlags(generateCommand, 'engine');
  generateCommand.action(async (prompt: string, options: Options) => {
    const settings = settingsOf(options);
    const own = generateOptions(options);
    const { generate } = await import('./commands/generate.js');
    finish(await generate(prompt, own, settings));
  });

  program
    .command('inspect')
    .description("print what was recognised in a model's graph")
    .argument('<dir>', 'directory of the model')
    .option('--dtype <dtype>', "which of the directory's ONNX files (auto, or a number format)")
    .option('--log-level <level>', 'debug or trace: stack traces with errors')
    .action(async (dir: string, options: { readonly dtype?: string }) => {
      const { inspect } = await import('./commands/inspect.js');
      finish(await inspect(dir, options.dtype ?? 'auto'));
    });
  for (const command of [program, ...program.commands]) {
    command.exitOverride().configureOutput({ writeErr: () => undefined });
    command.helpOption('-h, --help', 'list all flags').helpCommand(false);
  }
  return program;
}

async function main(): Promise<number> {
  let code = 0;
  const program = buildProgram((result) => {
    code = result;
  });
  try {
    if (process.argv.length < 3) {
      throw new OctavoError(
        'usage',
        'no command: must be serve, generate or inspect; see octavo --help',
      );
    }
    await program.parseAsync();
    return code;
  } catch (error) {
    const command = program.commands.find((candidate) => candidate.name() === process.argv[2]);
    const known = error instanceof CommanderError ? usageError(error, command ?? program) : error;
    if (known === null) return 0;
    return report(known, VERBOSE_LEVELS.has(logLevel(program)));
  }
}

/** One line for people; the stack only for those who asked for details. */
function report(error: unknown, verbose: boolean): number {
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`octavo: ${message.replaceAll(/\s*\n\s*/g, ' ')}\n`);
  if (verbose && error instanceof Error) process.stderr.write(`${error.stack}\n`);
  return error instanceof OctavoError ? error.entry.exitCode : 1;
}

/** As far as it is known when something goes wrong. */
function logLevel(program: Command): unknown {
  const options = program.commands.map((command) => command.opts<Options>()['logLevel']);
  return options.flat().find((level) => level !== undefined) ?? process.env['OCTAVO_LOG_LEVEL'];
}

// Not `process.exit`: output that is still on its way to a pipe would be lost.
process.exitCode = await main();
