import { Command, Option } from 'commander';
import { clip } from '../engine/clip.js';
import { packageVersion } from '../engine/environment/package-root.js';
import { OctavoError } from '../engine/errors.js';
import type { CacheEndpoint } from './commands/cache.js';
import { addBenchServeFlags } from './config/bench-flags.js';
import { benchServeOptions } from './config/bench-options.js';
import { completionScript, SHELLS } from './config/completion.js';
import { DEFAULT_URL, endpointKey, endpointUrl, type Given } from './config/endpoint-options.js';
import { addSettingFlag, addSettingFlags, flagTexts, unknownCommand } from './config/flags.js';
import { addGenerateFlags, outputFlags } from './config/generate-flags.js';
import { loadSettings, withKeysOfFile } from './config/load-settings.js';
import { listSettings } from './config/setting-list.js';
import type { Settings } from './config/settings.js';

type Options = Record<string, unknown>;

/** Settings that `inspect` takes. */
const INSPECT_SETTINGS = new Set<string>([
  'file',
  'dtype',
  'device',
  'quantize',
  'quantizeNbits',
  'logLevel',
]);

const settingsOf = (options: Options): Settings => loadSettings(flagTexts(options), process.env);

/** @throws OctavoError `usage` */
function cacheEndpoint({ url, apiKey }: Options): CacheEndpoint {
  return {
    url: endpointUrl(url as Given),
    apiKey: endpointKey(apiKey as Given, process.env),
  };
}

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
    const settings = withKeysOfFile(settingsOf(options));
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
    const settings = settingsOf(options);
    const own = outputFlags(options);
    const { generate } = await import('./commands/generate.js');
    finish(await generate(prompt, own, settings));
  });

  const chatCommand = program.command('chat').description('talk to a model on the terminal');
  addGenerateFlags(chatCommand, 'chat');
  addSettingFlags(chatCommand, 'engine');
  chatCommand.action(async (options: Options) => {
    const settings = settingsOf(options);
    const own = outputFlags(options);
    const { chat } = await import('./commands/chat.js');
    finish(await chat(own, settings));
  });

  const inspectCommand = program
    .command('inspect')
    .description("print what was recognized in a model's graph")
    .argument('<model>', 'directory of the model, or owner/name[@revision] on the hub');
  for (const [name, schema] of listSettings('all')) {
    if (INSPECT_SETTINGS.has(name)) addSettingFlag(inspectCommand, name, schema);
  }
  inspectCommand.action(async (dir: string, options: Options) => {
    const settings = settingsOf(options);
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
    cacheCommand
      .command(name)
      .description(description)
      .option('--url <url>', `the server (default: ${DEFAULT_URL})`)
      .option('--api-key <key>', 'bearer token [OCTAVO_API_KEY]');
  addCacheCommand('warm', 'compute the prefixes of a file, and pin them')
    .argument('<file>', 'JSON objects with name, and prompt or messages: an array, or one a line')
    .action(async (file: string, options: Options) => {
      const endpoint = cacheEndpoint(options);
      const { warmCache } = await import('./commands/cache.js');
      finish(await warmCache(file, endpoint));
    });
  addCacheCommand('list', 'print the pinned prefixes').action(async (options: Options) => {
    const endpoint = cacheEndpoint(options);
    const { listCache } = await import('./commands/cache.js');
    finish(await listCache(endpoint));
  });
  addCacheCommand('unpin', 'let a prefix go when its memory is needed')
    .argument('<name>', 'of the prefix')
    .action(async (name: string, options: Options) => {
      const endpoint = cacheEndpoint(options);
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
    const next = command.commands.find((candidate) => candidate.name() === word);
    if (!next) throw unknownCommand(word, command);
    command = next;
  }
  return command;
}

/** The command that the words on the command line lead to, as far as they are known. */
export function givenCommand(program: Command, words: readonly string[]): Command {
  const [first, ...others] = words;
  const next = program.commands.find((candidate) => candidate.name() === first);
  return next ? givenCommand(next, others) : program;
}
