import type { Command } from 'commander';
import { commandSettings, type Options, withModel } from './config/command-settings.js';
import { addEndpointFlags, endpointOf } from './config/endpoint-options.js';
import { addSettingFlag, addSettingFlags } from './config/flags.js';
import { addGenerateFlags, outputFlags } from './config/generate-flags.js';
import { listSettings } from './config/setting-list.js';
import type { SettingName } from './config/settings.js';

/** Settings that say which file of a model is meant. */
const FILE_SETTINGS: readonly SettingName[] = ['file', 'dtype'];
const CACHE_SETTINGS: readonly SettingName[] = ['modelCacheDir'];
/** Settings that say how much memory a model takes. */
const MEMORY_SETTINGS: readonly SettingName[] = [
  'quantize',
  'maxModelLen',
  'kvDtype',
  'kvCacheMemory',
];

const NAME = 'owner/name[@revision][:quantization] on the hub';

/** Adds the flags of some settings, and those that every command has. */
export function addFlagsOf(command: Command, names: readonly SettingName[]): void {
  for (const [name, schema] of listSettings('all')) {
    if (name === 'logLevel' || name === 'config' || names.includes(name)) {
      addSettingFlag(command, name, schema);
    }
  }
}

/**
 * Commands that manage models, and the conversation with one.
 *
 * @param finish told the exit code by the command that ran
 */
export function addModelCommands(program: Command, finish: (code: number) => void): void {
  const run = program
    .command('run')
    .alias('chat')
    .description('talk to a model on the terminal; with a prompt or in a pipe, print one answer')
    .argument('[model]', 'as --model takes it (default: the embedded octavo-tiny)')
    .argument('[prompt]', 'what to say to it, after what comes through a pipe');
  addGenerateFlags(run, 'chat');
  addSettingFlags(run, 'engine');
  run.action(async (model: string | undefined, prompt: string | undefined, options: Options) => {
    const settings = commandSettings(withModel(options, model));
    const own = outputFlags(options);
    const { run: start } = await import('./commands/run.js');
    finish(await start(prompt, own, settings));
  });

  const pull = program
    .command('pull')
    .description('download a model, or go on with a download')
    .argument('<model>', NAME);
  addFlagsOf(pull, FILE_SETTINGS);
  pull.action(async (name: string, options: Options) => {
    const settings = commandSettings(options);
    const { pull: start } = await import('./commands/pull.js');
    finish(await start(name, settings));
  });

  const list = program.command('list').description('print the models in the caches');
  addFlagsOf(list, CACHE_SETTINGS);
  list.action(async (options: Options) => {
    const settings = commandSettings(options);
    const { list: start } = await import('./commands/list.js');
    finish(await start(settings));
  });

  const show = program
    .command('show')
    .description('print what a model is, its sizes, and the memory it takes')
    .argument('<model>', 'as --model takes it');
  addFlagsOf(show, [...FILE_SETTINGS, ...MEMORY_SETTINGS]);
  show.action(async (name: string, options: Options) => {
    const settings = commandSettings(options);
    const { show: start } = await import('./commands/show.js');
    finish(await start(name, settings));
  });

  const rm = program
    .command('rm')
    .description('remove a model from the caches, and what was made of it')
    .argument('<model>', 'as octavo list shows it')
    .option('-y, --yes', 'do not ask');
  addFlagsOf(rm, [...FILE_SETTINGS, ...CACHE_SETTINGS]);
  rm.action(async (name: string, options: Options) => {
    const settings = commandSettings(options);
    const { removeModel } = await import('./commands/rm.js');
    finish(await removeModel(name, options['yes'] === true, settings));
  });

  const ps = program
    .command('ps')
    .description('print the models of a running server, and its load');
  addEndpointFlags(ps);
  ps.action(async (options: Options) => {
    const endpoint = endpointOf(options, process.env);
    const { ps: start } = await import('./commands/ps.js');
    finish(await start(endpoint));
  });

  program
    .command('config')
    .description('settings in a file')
    .command('check')
    .description('name what is wrong in a file of settings, line by line')
    .argument('[file]', 'the file (default: octavo.yaml)')
    .action(async (file: string | undefined) => {
      const { checkConfigFile } = await import('./commands/config-check.js');
      finish(checkConfigFile(file));
    });
}
