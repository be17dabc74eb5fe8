import { Command, Option } from 'commander';
import { clip } from '../engine/clip.js';
import { packageVersion } from '../engine/environment/package-root.js';
import { OctavoError } from '../engine/errors.js';
import { addBenchServeFlags } from './config/bench-flags.js';
import { benchServeOptions } from './config/bench-options.js';
import { commandSettings, type Options } from './config/command-settings.js';
import { completionScript, SHELLS } from './config/completion.js';
import {
  addEndpointFlags,
  endpointOf,
  filledText,
  type Given,
  usage,
} from './config/endpoint-options.js';
import { addSettingFlags, unknownCommand } from './config/flags.js';
import { addGenerateFlags, outputFlags } from './config/generate-flags.js';
import { withKeysOfFile } from './config/load-settings.js';
import type { SettingName } from './config/settings.js';
import { addKeyCommands } from './key-commands.js';
import { addFlagsOf, addModelCommands } from './model-commands.js';

/** Settings that `inspect` takes. */
const INSPECT_SETTINGS: readonly SettingName[] = [
  'file',
  'dtype',
  'device',
  'quantize',
  'activations',
  'quantizeNbits',
];

/**
 * The commands and their flags. What a command runs is loaded when it runs: `--help` and errors of
 * usage need neither model nor server.
 *
 * @param finish told the exit code by the command that ran
 */
export function buildProgram(finish: (code: number) => void): Command {
  const program = new Command('octavo')
    .description('LLM serving: continuous batching, a paged KV cache, an OpenAI-compatible API')
    .version(packageVersion(), '-v, --version', 'print the version');

  const serveCommand = program.command('serve').description('serve a model over HTTP');
  addSettingFlags(serveCommand, 'all');
  serveCommand.action(async (options: Options) => {
    const settings = withKeysOfFile(commandSettings(options));
    const { serve } = await import('./commands/serve.js');
    finish(await serve(settings));
  });

  const generateCommand = program
    .command('generate')
    .description('print a streamed completion')
    .argument('[prompt]', 'what to say to the model; - or none reads standard input');
  addGenerateFlags(generateCommand, 'generate');
  addSettingFlags(generateCommand, 'engine');
  generateCommand.action(async (prompt: string | undefined, options: Options) => {
    const settings = commandSettings(options);
    const own = outputFlags(options);
    const { generate } = await import('./commands/generate.js');
    finish(await generate(prompt, own, settings));
  });

  const batchCommand = program
    .command('run-batch')
    .description('answer the requests of a file, without a server')
    .option('-i, --input-file <file>', "requests in OpenAI's form, one a line (JSONL)")
    .option('-o, --output-file <file>', 'where the answers go, one a line');
  addSettingFlags(batchCommand, 'engine');
  batchCommand.action(async (options: Options) => {
    const input = filledText(options['inputFile'] as Given, '--input-file');
    const output = filledText(options['outputFile'] as Given, '--output-file');
    if (input === null) throw usage('--input-file', 'must name the file with the requests');
    if (output === null) throw usage('--output-file', 'must name the file for the answers');
    const settings = commandSettings(options);
    const { runBatch } = await import('./commands/run-batch.js');
    finish(await runBatch(input, output, settings));
  });

  addModelCommands(program, finish);
  addKeyCommands(program, finish);

  const inspectCommand = program
    .command('inspect')
    .description("print what was recognized in a model's graph")
    .argument(
      '<model>',
      'directory or file of the model, or owner/name[@revision][:quantization] on the hub',
    );
  addFlagsOf(inspectCommand, INSPECT_SETTINGS);
  inspectCommand.action(async (dir: string, options: Options) => {
    const settings = commandSettings(options);
    const { inspect } = await import('./commands/inspect.js');
    finish(await inspect(dir, settings));
  });

  program
    .command('devices')
    .description('print which GPUs there are, and whether they compute attention right')
    .option('--json', 'as one JSON object')
    .action(async ({ json }: Options) => {
      const { devices } = await import('./commands/devices.js');
      finish(await devices({ asJson: json === true }));
    });

  program
    .command('replay')
    .description("make a scheduler's decisions again from a file of --trace-steps")
    .argument('<file>', 'what --trace-steps has written')
    .action(async (file: string) => {
      const { replay } = await import('./commands/replay.js');
      finish(await replay(file));
    });

  const cacheCommand = program
    .command('cache')
    .description('keep prefixes cached in a running server, by name');
  const addCacheCommand = (name: string, description: string): Command =>
    addEndpointFlags(cacheCommand.command(name).description(description));
  addCacheCommand('warm', 'compute the prefixes of a file, and pin them')
    .argument('<file>', 'JSON objects with name, and prompt or messages: an array, or one a line')
    .action(async (file: string, options: Options) => {
      const endpoint = endpointOf(options, process.env);
      const { warmCache } = await import('./commands/cache.js');
      finish(await warmCache(file, endpoint));
    });
  addCacheCommand('list', 'print the pinned prefixes').action(async (options: Options) => {
    const endpoint = endpointOf(options, process.env);
    const { listCache } = await import('./commands/cache.js');
    finish(await listCache(endpoint));
  });
  addCacheCommand('unpin', 'let a prefix go when its memory is needed')
    .argument('<name>', 'of the prefix')
    .action(async (name: string, options: Options) => {
      const endpoint = endpointOf(options, process.env);
      const { unpinCache } = await import('./commands/cache.js');
      finish(await unpinCache(name, endpoint));
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

  program
    .command('completion')
    .description(
      'print a script that completes commands and flags: source <(octavo completion bash)',
    )
    .argument('<shell>', 'bash, zsh or fish')
    .action((text: string) => {
      const shell = SHELLS.find((known) => known === text);
      if (!shell) {
        throw new OctavoError('usage', `shell ${clip(text)}: must be one of ${SHELLS.join(', ')}`);
      }
      process.stdout.write(completionScript(shell, program));
    });

  program
    .command('help')
    .description('show the help of a command')
    .argument('[command...]', 'such as serve, or bench serve')
    .action((words: string[]) => commandAt(program, words).outputHelp());

  for (const command of listCommands(program)) {
    command.exitOverride().configureOutput({ writeErr: () => undefined });
    command.helpCommand(false);
    command.addHelpOption(new Option('-h, --help', 'show this').helpGroup('Other:'));
  }
  return program;
}

function listCommands(command: Command): Command[] {
  return [command, ...command.commands.flatMap(listCommands)];
}

/** @throws OctavoError `usage` */
function commandAt(program: Command, words: readonly string[]): Command {
  let command = program;
  for (const word of words) {
    const next = command.commands.find((candidate) => isNamed(candidate, word));
    if (!next) throw unknownCommand(word, command);
    command = next;
  }
  return command;
}

const isNamed = (command: Command, word: string | undefined): boolean =>
  word !== undefined && (command.name() === word || command.aliases().includes(word));

/** The command that the words on the command line lead to, as far as they are known. */
export function givenCommand(program: Command, words: readonly string[]): Command {
  const [first, ...others] = words;
  const next = program.commands.find((candidate) => isNamed(candidate, first));
  return next ? givenCommand(next, others) : program;
}
