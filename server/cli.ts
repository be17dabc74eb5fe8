#!/usr/bin/env node
import { Command, CommanderError } from 'commander';
import { OctavoError } from '../engine/errors.js';
import { addBenchServeFlags } from './config/bench-flags.js';
import { benchServeOptions } from './config/bench-options.js';
import { addSettingFlags, type FlagTexts, flagTexts, usageError } from './config/flags.js';
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
    .argument('<model>', 'directory of the model, or owner/name[@revision] on the hub')
    .option('--dtype <dtype>', "which of the model's ONNX files (auto, or a number format)")
    .option('--quantize <method>', 'w8a8: what it would rewrite')
    .option('--quantize-nbits', 'with it: weights that are packed in 4 or 8 bits too')
    .option('--log-level <level>', 'debug or trace: stack traces with errors')
    .action(async (dir: string, options: Options) => {
      const settings = loadSettings(inspectTexts(options), process.env);
      const { inspect } = await import('./commands/inspect.js');
      finish(await inspect(dir, settings));
    });

  const benchCommand = program.command('bench').description('measure a server');
  const benchServeCommand = benchCommand
    .command('serve')
    .description('load any OpenAI-compatible endpoint: latencies, throughput, goodput');
  addBenchServeFlags(benchServeCommand);
  benchServeCommand.action(async (options: Options) => {
    const own = benchServeOptions(options, process.env);
    const { benchServeCommand: run } = await import('./commands/bench-serve.js');
    finish(await run(own));
  });

  for (const command of [program, ...program.commands, benchServeCommand]) {
    command.exitOverride().configureOutput({ writeErr: () => undefined });
    command.helpOption('-h, --help', 'list all flags').helpCommand(false);
  }
  return program;
}

/** The settings that `inspect` takes, as texts. */
function inspectTexts(options: Options): FlagTexts {
  const texts: FlagTexts = {};
  for (const name of ['dtype', 'quantize', 'quantizeNbits', 'logLevel'] as const) {
    const value = options[name];
    if (typeof value === 'string' || value === true) texts[name] = [String(value)];
  }
  return texts;
}

async function main(): Promise<number> {
  let code = 0;
  const program = buildProgram((result) => {
    code = result;
  });
  try {
    await program.parseAsync();
    return code;
  } catch (error) {
    const known =
      error instanceof CommanderError ? usageError(error, givenCommand(program)) : error;
    if (known === null) return 0;
    return report(known, VERBOSE_LEVELS.has(logLevel(program)));
  }
}

/** The command that the words on the command line lead to, as far as they are known. */
function givenCommand(program: Command): Command {
  let command = program;
  for (const word of process.argv.slice(2)) {
    const next = command.commands.find((candidate) => candidate.name() === word);
    if (!next) break;
    command = next;
  }
  return command;
}

/** One line for people; the stack only for those who asked for details. */
function report(error: unknown, verbose: boolean): number {
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`octavo: ${message.replaceAll(/\s*\p{Cc}+\s*/gu, ' ')}\n`);
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
