import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { completionScript } from '../../../server/config/completion.js';
import { buildProgram } from '../../../server/program.js';
import { hasProgram } from '../../support/debian-programs.js';

const script = (shell: 'bash' | 'zsh' | 'fish'): string =>
  completionScript(
    shell,
    buildProgram(() => undefined),
  );

/** What bash offers behind these words; the last is the one that is being typed. */
function offered(...words: string[]): string[] {
  const directory = mkdtempSync(join(tmpdir(), 'octavo-completion-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'octavo.bash');
  writeFileSync(path, script('bash'));
  const program = `source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _octavo; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout, stderr } = spawnSync(
    'bash',
    ['--norc', '-euc', program, path, 'octavo', ...words],
    {
      encoding: 'utf8',
    },
  );
  expect(stderr).toBe('');
  return stdout.split('\n').filter((line) => line !== '');
}

describe.skipIf(!hasProgram('bash'))('bash completes', () => {
  it('commands', () => {
    expect(offered('')).toEqual(expect.arrayContaining(['serve', 'generate', '--version']));
    expect(offered('ben')).toEqual(['bench']);
    expect(offered('bench', 's')).toEqual(['serve']);
  });

  it("a command's own flags", () => {
    expect(offered('serve', '--kv-events-')).toEqual([
      '--kv-events-endpoint',
      '--kv-events-replay-endpoint',
      '--kv-events-topic',
      '--kv-events-buffer-steps',
    ]);
    expect(offered('generate', '--po')).toEqual([]);
    expect(offered('bench', 'serve', '--num')).toEqual(['--num-prompts']);
  });

  it('the values of choices, and leaves other values to the shell', () => {
    expect(offered('serve', '--port', '1', '--kv-dtype', 'i')).toEqual(['int16', 'int8']);
    expect(offered('bench', 'serve', '--dataset', 's')).toEqual(['sharegpt']);
    expect(offered('serve', '--model', '')).toEqual([]);
  });
});

describe('scripts for other shells', () => {
  it('zsh runs the same function', () => {
    expect(script('zsh')).toMatch(/^#compdef octavo\n.*compinit\n.*bashcompinit\n/);
    expect(script('zsh')).toContain(script('bash'));
  });

  it('fish gets a line for each command and flag, with its description', () => {
    const lines = script('fish').split('\n');
    const serve = "-n '__fish_seen_subcommand_from serve'";
    expect(lines).toContain(
      `complete -c octavo ${serve} -l port -r -d 'port to listen on; 0 takes a free one (default: 8000) [OCTAVO_PORT]'`,
    );
    expect(lines.find((line) => line.includes('-l quantize '))).toContain(
      "-x -a 'none w8a8 q8 q4 auto'",
    );
    expect(lines.find((line) => line.includes('-l log-prompts'))).not.toMatch(/ -[rx] /);
  });
});
