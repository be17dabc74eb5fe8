import type { Command, Option } from 'commander';
import { CHOICES } from './bench-flags.js';
import { listSettings } from './setting-list.js';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;

export type Shell = (typeof SHELLS)[number];

/**
 * One command: the words that lead to it, what may follow, and the values that are known of its
 * flags.
 */
interface CommandWords {
  /** Without `octavo`: '', 'serve', 'bench serve'. */
  readonly path: string;
  readonly commands: readonly Command[];
  readonly flags: readonly Option[];
}

/** What is known of a flag's value: words to choose from, or null where a file may stand. */
type Values = readonly string[] | null;

/**
 * A script that completes commands, flags and the values of choices:
 * `source <(octavo completion bash)`. It holds all words, so that no process is started at a press
 * of Tab; another version of Octavo has another script.
 */
export function completionScript(shell: Shell, program: Command): string {
  const commands = listCommands(program);
  if (shell === 'fish') return fish(commands);
  const script = bash(commands);
  if (shell === 'bash') return script;
  return [
    '#compdef octavo',
    'autoload -U +X compinit && compinit',
    'autoload -U +X bashcompinit && bashcompinit',
    script,
  ].join('\n');
}

function listCommands(command: Command, path: readonly string[] = []): CommandWords[] {
  const help = command.createHelp();
  const commands = help.visibleCommands(command);
  const flags = help.visibleOptions(command);
  const below = commands.flatMap((child) =>
    namesOf(child).flatMap((name) => listCommands(child, [...path, name])),
  );
  return [{ path: path.join(' '), commands, flags }, ...below];
}

const namesOf = (command: Command): string[] => [command.name(), ...command.aliases()];

function bash(commands: readonly CommandWords[]): string {
  const parents = commands.filter((command) => command.commands.length > 0);
  const deeper = parents.flatMap(({ path, commands: children }) =>
    children.flatMap(namesOf).map((name) => `"${path === '' ? '' : `${path} `}${name}"`),
  );
  // Names that zsh gives no meaning of its own: not `path`, not `words`.
  return `_octavo() {
  local current="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}" at="" index next candidates=""
  for ((index = 1; index < COMP_CWORD; index++)); do
    next="\${at:+$at }\${COMP_WORDS[index]}"
    case "$next" in
      ${deeper.join('|')}) at="$next" ;;
      *) break ;;
    esac
  done
  case "$at $before" in
${valueCases(commands).join('\n')}
  esac
  case "$at" in
${commands.map(({ path, ...words }) => `    "${path}") candidates="${wordsOf(words)}" ;;`).join('\n')}
  esac
  COMPREPLY=($(compgen -W "$candidates" -- "$current"))
}
complete -o default -F _octavo octavo
`;
}

/**
 * After a flag with known values come those; after another that takes one, the shell's own: files.
 */
function valueCases(commands: readonly CommandWords[]): string[] {
  return commands.flatMap(({ path, flags }) => {
    const lines = [];
    const open = [];
    for (const flag of flags) {
      const { long } = flag;
      if (!long || !(flag.required || flag.optional)) continue;
      const values = valuesOf(flag);
      if (values === null) open.push(`"${path} ${long}"`);
      else {
        const reply = `COMPREPLY=($(compgen -W "${values.join(' ')}" -- "$current")); return`;
        lines.push(`    "${path} ${long}") ${reply} ;;`);
      }
    }
    if (open.length > 0) lines.push(`    ${open.join('|')}) COMPREPLY=(); return ;;`);
    return lines;
  });
}

function wordsOf({ commands, flags }: Pick<CommandWords, 'commands' | 'flags'>): string {
  return [...commands.flatMap(namesOf), ...flags.map(({ long }) => long)].join(' ');
}

function fish(commands: readonly CommandWords[]): string {
  const lines = commands.flatMap(({ path, commands: children, flags }) => {
    const words = path === '' ? [] : path.split(' ');
    const names = children.flatMap(namesOf).join(' ');
    const seen = words.map((word) => `__fish_seen_subcommand_from ${word}`);
    const at = [...seen, ...(names === '' ? [] : [`not __fish_seen_subcommand_from ${names}`])];
    const where = at.length === 0 ? '' : ` -n ${quote(at.join('; and '))}`;
    return [
      ...children.flatMap((child) =>
        namesOf(child).map(
          (name) => `complete -c octavo${where} -f -a ${name} -d ${quote(child.description())}`,
        ),
      ),
      ...flags.map((flag) => fishFlag(flag, where)),
    ];
  });
  return `${lines.join('\n')}\n`;
}

function fishFlag(flag: Option, where: string): string {
  const values = valuesOf(flag);
  const takes = flag.required || flag.optional;
  const value = values === null ? (takes ? ' -r' : '') : ` -x -a ${quote(values.join(' '))}`;
  const name = (flag.long ?? '').replace(/^--/, '');
  return `complete -c octavo${where} -l ${name}${value} -d ${quote(flag.description)}`;
}

const quote = (text: string): string => `'${text.replaceAll(/['\\]/g, String.raw`\$&`)}'`;

function valuesOf(flag: Option): Values {
  const schema = listSettings('all').find(([name]) => name === flag.attributeName())?.[1];
  const choice = Object.values(CHOICES).find((known) => known.flag === flag.long);
  return schema?.enum ?? choice?.values ?? null;
}
