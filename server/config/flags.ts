import { type Command, type CommanderError, Option } from 'commander';
import { OctavoError } from '../../engine/errors.js';
import { clip } from '../text/clip.js';
import { nearest } from './nearest.js';
import {
  environmentName,
  flagName,
  isRepeatable,
  listSettings,
  type SettingName,
  type SettingSchema,
} from './settings.js';

/** Texts given on the command line, unparsed, by setting. */
export type FlagTexts = Partial<Record<SettingName, string[]>>;

/** Adds the flags of all settings (`all`) or of those that concern the engine to a command. */
export function addSettingFlags(command: Command, scope: 'engine' | 'all'): void {
  for (const [name, schema] of listSettings(scope)) {
    const help = `${schema.description}${defaultNote(schema)} [${environmentName(name)}]`;
    if (schema.type === 'boolean') {
      command.addOption(new Option(flagName(name), help));
      command.addOption(
        new Option(flagName(name).replace('--', '--no-'), `turns ${flagName(name)} off`),
      );
    } else {
      const option = new Option(`${flagName(name)} <${schema.value ?? 'n'}>`, help);
      // Texts are collected as they are: flags and variables are then parsed by the same code.
      option.argParser((text: string, earlier: string[] | undefined) =>
        isRepeatable(schema) ? [...(earlier ?? []), text] : [text],
      );
      command.addOption(option);
    }
  }
}

/** The texts that commander has collected. */
export function flagTexts(options: Record<string, unknown>): FlagTexts {
  const texts: FlagTexts = {};
  for (const [name] of listSettings('all')) {
    const value = options[name];
    if (Array.isArray(value)) texts[name] = value.map(String);
    else if (typeof value === 'boolean') texts[name] = [String(value)];
  }
  return texts;
}

/** Rewrites a complaint of commander into our one line; help and version output pass through as null. */
export function usageError(error: CommanderError, command: Command): OctavoError | null {
  if (error.exitCode === 0) return null;
  const quoted = clip(/'([^']*)'/.exec(error.message)?.[1] ?? '');
  const help = `see ${path(command)} --help`;
  switch (error.code) {
    case 'commander.unknownOption':
      return new OctavoError('usage', `unknown flag ${quoted}: ${hint(quoted, command)}${help}`);
    case 'commander.unknownCommand':
      return new OctavoError(
        'usage',
        `unknown command ${quoted}: must be ${commandNames(command)}; ${help}`,
      );
    case 'commander.help':
      return new OctavoError('usage', `no command: must be ${commandNames(command)}; ${help}`);
    case 'commander.optionMissingArgument':
      return new OctavoError('usage', `${quoted.split(' ')[0]} needs a value; ${help}`);
    default:
      return new OctavoError(
        'usage',
        `${clip(error.message.replace(/^error: /, '').replaceAll('\n', ' '))}; ${help}`,
      );
  }
}

/** As it is typed: `octavo bench serve`. */
function path(command: Command): string {
  return command.parent === null ? command.name() : `${path(command.parent)} ${command.name()}`;
}

function commandNames(command: Command): string {
  const names = command.commands.map((child) => child.name());
  const last = names.at(-1) ?? '';
  return names.length > 1 ? `${names.slice(0, -1).join(', ')} or ${last}` : last;
}

function hint(flag: string, command: Command): string {
  const known = command.options.map((option) => option.long).filter((long) => long !== undefined);
  const best = nearest(flag.split('=')[0] ?? flag, known);
  return best === null ? '' : `did you mean ${best}? `;
}

function defaultNote(schema: SettingSchema): string {
  const { default: value } = schema;
  if (value === undefined || Array.isArray(value) || schema.unit === 'bytes') {
    return schema.enum ? `: ${schema.enum.join(', ')}` : '';
  }
  const among = schema.enum ? `: ${schema.enum.join(', ')}` : '';
  return `${among} (default: ${JSON.stringify(value).replaceAll('"', '')})`;
}
