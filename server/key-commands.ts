import type { Command } from 'commander';
import { clip } from '../engine/clip.js';
import { OctavoError } from '../engine/errors.js';
import { commandSettings, type Options } from './config/command-settings.js';
import { SCOPES, type Scope } from './keys/api-key.js';
import { addFlagsOf } from './model-commands.js';

/**
 * Commands for the file of keys.
 *
 * @param finish told the exit code by the command that ran
 */
export function addKeyCommands(program: Command, finish: (code: number) => void): void {
  const keys = program.command('keys').description('keys of clients, in the file of --keys-file');
  const addKeyCommand = (name: string, description: string): Command => {
    const command = keys.command(name).description(description);
    addFlagsOf(command, ['keysFile']);
    return command;
  };

  addKeyCommand('add', 'make a key, print it, and write its SHA-256 to the file')
    .argument('<name>', 'whose it is, for logs, usage and metrics')
    .option('--scopes <scopes>', `some of ${SCOPES.join(',')} (default: inference)`)
    .option('--requests-per-minute <number>', '0: any number (default: --rate-limit-requests)')
    .option('--tokens-per-minute <number>', '0: any number (default: --rate-limit-tokens)')
    .option('--concurrent <number>', 'requests at a time; 0: any number (default: 0)')
    .action(async (name: string, options: Options) => {
      const path = keysFileOf(options);
      const limit = (option: string): number | undefined => wholeNumber(options, option);
      const limits = {
        requestsPerMinute: limit('requestsPerMinute'),
        tokensPerMinute: limit('tokensPerMinute'),
        concurrent: limit('concurrent'),
      };
      const { addKey } = await import('./commands/keys.js');
      finish(await addKey(path, { name, scopes: scopesOf(options), limits }));
    });

  addKeyCommand('list', 'print the names, scopes and limits of the keys').action(
    async (options: Options) => {
      const path = keysFileOf(options);
      const { listKeys } = await import('./commands/keys.js');
      finish(listKeys(path));
    },
  );

  addKeyCommand('rm', 'remove a key: a running server refuses it from then on')
    .argument('<name>', 'of the key')
    .action(async (name: string, options: Options) => {
      const path = keysFileOf(options);
      const { removeKey } = await import('./commands/keys.js');
      finish(await removeKey(path, name));
    });
}

/** @throws OctavoError `usage` */
function keysFileOf(options: Options): string {
  const { keysFile } = commandSettings(options);
  if (keysFile !== undefined) return keysFile;
  throw usage('--keys-file', 'must name the file of keys, such as keys.yaml');
}

function scopesOf({ scopes }: Options): readonly Scope[] {
  const given = (scopes as string | undefined) ?? 'inference';
  const known = given.split(',').map((word) => SCOPES.find((scope) => scope === word));
  if (known.every((scope) => scope !== undefined)) return known;
  throw usage('--scopes', `${clip(given)}: must be some of ${SCOPES.join(',')}`);
}

function wholeNumber(options: Options, option: string): number | undefined {
  const text = options[option] as string | undefined;
  if (text === undefined) return undefined;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  const flag = `--${option.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
  throw usage(flag, `${clip(text)}: must be a whole number; 0: any number`);
}

const usage = (flag: string, problem: string): OctavoError =>
  new OctavoError('usage', `${flag} ${problem}`, { param: flag });
