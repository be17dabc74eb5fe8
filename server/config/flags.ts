import { type Command, type CommanderError, Option } from 'commander';
import { clip } from '../../engine/clip.js';
import { OctavoError } from '../../engine/errors.js';
import {
  environmentName,
  flagName,
  isRepeatable,
  listSettings,
  type SettingSchema,
} from './setting-list.js';
import type { SettingName } from './settings.js';

/** Texts given on the command line, unparsed, by setting. */
export type FlagTexts = Partial<Record<SettingName, string[]>>;

/**
 * Adds the flags of all settings (`all`) or of those that concern the engine to a command, in their
 * groups.
 */
export function addSettingFlags(command: Command, scope: 'engine' | 'all'): void {
  for (const [name, schema] of listSettings(scope)) addSettingFlag(command, name, schema);
}

export function addSettingFlag(
  command: Command,
  name: SettingName,
  { description, group, alias, ...schema }: SettingSchema,
): void {
  const variable = environmentName(name);
  const add = (option: Option): void => void command.addOption(option.helpGroup(`${group}:`));
  if (schema.type === 'boolean') {
    // Help shows the one that changes something.
    const isOn = schema.default === true;
    const help = `${description} [${variable}=${String(!isOn)}]`;
    add(new Option(flagName(name), help).hideHelp(isOn));
    add(new Option(flagName(name).replace('--', '--no-'), help).hideHelp(!isOn));
    return;
  }
  const help = `${description}${defaultNote(schema)} [${variable}]`;
  const value = `<${schema.value ?? 'n'}>`;
  // Texts are collected as they are: flags and variables are then parsed by the same code.
  const collect = (text: string, earlier: string[] | undefined): string[] =>
    isRepeatable(schema) ? [...(earlier ?? []), text] : [text];
  add(new Option(`${flagName(name)} ${value}`, help).argParser(collect));
  if (alias) add(new Option(`${alias} ${value}`).argParser(collect).hideHelp());
}

/** The texts that commander has collected. */
export function flagTexts(options: Record<string, unknown>): FlagTexts {
  const texts: FlagTexts = {};
  for (const [name, { alias }] of listSettings('all')) {
    const value = options[name];
    const other = alias && options[new Option(alias).attributeName()];
    const given = [value, other].filter((list) => Array.isArray(list));
    if (given.length > 0) texts[name] = given.flat().map(String);
    else if (typeof value === 'boolean') texts[name] = [String(value)];
  }
  return texts;
}

/**
 * Rewrites a complaint of commander into our one line; help and version output pass through as
 * null.
 */
export function usageError(error: CommanderError, command: Command): OctavoError | null {
  if (error.exitCode === 0) return null;
  const quoted = clip(/'([^']*)'/.exec(error.message)?.[1] ?? '');
  const help = `see ${commandPath(command)} --help`;
  switch (error.code) {
    case 'commander.unknownOption':
      return new OctavoError('usage', `unknown flag ${quoted}: ${hint(quoted, command)}${help}`);
    case 'commander.unknownCommand':
      return unknownCommand(quoted, command);
    case 'commander.optionMissingArgument':
      return new OctavoError('usage', `${quoted.split(' ')[0]} needs a value; ${help}`);
    case 'commander.excessArguments': {
      const most = command.registeredArguments.length;
      const quotes = most === 0 ? '' : ' (a text with spaces needs quotes)';
      const numbers = `expected ${most === 0 ? 'none' : most}, got ${command.args.length}`;
      return new OctavoError('usage', `too many arguments: ${numbers}${quotes}; ${help}`);
    }
    default:
      return new OctavoError(
        'usage',
        `${clip(error.message.replace(/^error: /, '').replaceAll('\n', ' '))}; ${help}`,
      );
  }
}

/** @param command the one that has no such command */
export function unknownCommand(name: string, command: Command): OctavoError {
  const names = command.commands.map((child) => child.name());
  const best = nearest(name, names);
  const meant = best === null ? '' : `did you mean ${best}? `;
  const last = names.at(-1) ?? '';
  const allowed = names.length > 1 ? `${names.slice(0, -1).join(', ')} or ${last}` : last;
  const help = `see ${commandPath(command)} --help`;
  return new OctavoError(
    'usage',
    `unknown command ${clip(name)}: ${meant}${allowed === '' ? 'there is none below' : `must be ${allowed}`}; ${help}`,
  );
}

/** As it is typed: `octavo bench serve`. */
function commandPath(command: Command): string {
  return command.parent === null
    ? command.name()
    : `${commandPath(command.parent)} ${command.name()}`;
}

function hint(flag: string, command: Command): string {
  const known = command.options.map((option) => option.long).filter((long) => long !== undefined);
  const best = nearest(flag.split('=')[0] ?? flag, known);
  return best === null ? '' : `did you mean ${best}? `;
}

function defaultNote(schema: Omit<SettingSchema, 'description' | 'group'>): string {
  const { default: value } = schema;
  if (value === undefined || Array.isArray(value) || schema.unit === 'bytes') {
    return schema.enum ? `: ${schema.enum.join(', ')}` : '';
  }
  const among = schema.enum ? `: ${schema.enum.join(', ')}` : '';
  return `${among} (default: ${JSON.stringify(value).replaceAll('"', '')})`;
}

/** A flag of one command that takes a number; settings of the server are in settings.ts. */
export interface NumberFlag {
  readonly flag: string;
  readonly integer: boolean;
  readonly minimum: number;
  readonly maximum: number;
  readonly description: string;
}

/**
 * @returns null when the flag is not given
 * @throws OctavoError `usage`
 */
export function parseNumber(flag: NumberFlag, text: unknown): number | null {
  if (typeof text !== 'string') return null;
  const form = flag.integer ? /^\d+$/ : /^\d+(\.\d+)?$/;
  const value = form.test(text) ? Number(text) : Number.NaN;
  if (value >= flag.minimum && value <= flag.maximum) return value;
  const kind = flag.integer ? 'an integer' : 'a number';
  throw new OctavoError(
    'usage',
    `${flag.flag} ${clip(text)}: must be ${kind} from ${flag.minimum} to ${flag.maximum}`,
    { param: flag.flag },
  );
}

/**
 * The candidate that differs from `word` by the fewest edits, if it is close enough to be a slip.
 */
export function nearest(word: string, candidates: readonly string[]): string | null {
  // Longer input cannot be near any flag, and the distance costs length times length.
  if (word.length > 64) return null;
  let best: string | null = null;
  let bestDistance = Math.max(2, Math.floor(word.length / 3)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(word, candidate);
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/** Insertions, deletions and replacements that turn one text into the other (Levenshtein). */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j] + 1, next[j - 1] + 1));
    }
    row = next;
  }
  return row[b.length];
}
