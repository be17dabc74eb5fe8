import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { defaultKvCacheBytes } from '../../../engine/environment/available-memory.js';
import { SETTING_GROUPS } from '../../../engine/setting-schema.js';
import { nearest } from '../../../server/config/flags.js';
import { loadSettings } from '../../../server/config/load-settings.js';
import { listSettings } from '../../../server/config/setting-list.js';

test('defaults', () => {
  const settings = loadSettings({}, {});
  expect(settings).toMatchObject({
    servedModelName: [],
    host: '127.0.0.1',
    port: 8000,
    maxNumSeqs: 64,
    device: 'cpu',
    kvCacheMemory: defaultKvCacheBytes(),
    enablePrefixCaching: true,
    apiKey: [],
    logLevel: 'info',
    shutdownTimeout: 30,
  });
  expect(settings.model).toEqual([]);
  expect(settings.maxModelLen).toBeUndefined();
  // By the device.
  expect([settings.blockSize, settings.kvDtype]).toEqual([undefined, undefined]);
});

test('flags win over variables, variables over defaults', () => {
  const environment = {
    OCTAVO_PORT: '9000',
    OCTAVO_API_KEY: 'a,b',
    OCTAVO_ENABLE_PREFIX_CACHING: '0',
    OCTAVO_HOST: '',
  };
  expect(loadSettings({ port: ['9001'] }, environment)).toMatchObject({
    port: 9001,
    apiKey: ['a', 'b'],
    enablePrefixCaching: false,
    host: '127.0.0.1',
  });
});

test.each([
  ['2GiB', 2 ** 31],
  ['512MiB', 2 ** 29],
  ['1.5kb', 1500],
  ['1048576', 2 ** 20],
])('the size %s', (text, bytes) => {
  expect(loadSettings({ kvCacheMemory: [text] }, {}).kvCacheMemory).toBe(bytes);
});

test.each([
  ['port', '65536', /^--port 65536: must be an integer from 0 to 65535$/],
  ['port', '', /^--port '': must/],
  ['port', '1e3', /^--port 1e3: must/],
  ['maxNumSeqs', '0', /^--max-num-seqs 0: must/],
  ['kvCacheMemory', '2 bananas', /^--kv-cache-memory 2 bananas: must be a size such as 2GiB/],
  ['kvCacheMemory', '0', /^--kv-cache-memory 0: must/],
  ['kvDtype', 'f16', /^--kv-dtype f16: must be one of f32, bf16, int16, int8$/],
  ['logLevel', 'loud', /one of fatal, error, warn, info, debug, trace, silent$/],
  ['shutdownTimeout', '-1', /^--shutdown-timeout -1: must be a number from 0/],
  ['model', '', /^--model '': must/],
  ['apiKey', '', /^--api-key '': must/],
] as const)('--%s %s is refused in one line', (name, text, message) => {
  expect(() => loadSettings({ [name]: [text] }, {})).toThrow(message);
});

test('a bad variable is named; a long value is cut', () => {
  expect(() => loadSettings({}, { OCTAVO_THREADS: 'all' })).toThrow(
    /^OCTAVO_THREADS all: must be an/,
  );
  expect(() => loadSettings({ port: ['9'.repeat(500)] }, {})).toThrow(/^--port 9{199}…: must/);
});

test('a slip is recognized, a stranger is not', () => {
  expect(nearest('--prot', ['--port', '--host'])).toBe('--port');
  expect(nearest('--quantum', ['--port', '--host'])).toBeNull();
});

const octavo = (...args: string[]) => {
  const run = spawnSync(process.execPath, ['dist/server/cli.js', ...args], {
    encoding: 'utf8',
    env: { PATH: process.env['PATH'] ?? '' },
  });
  return { code: run.status, out: run.stdout, err: run.stderr };
};

const kebab = (name: string): string => name.replaceAll(/[A-Z]/g, (c) => `-${c.toLowerCase()}`);

describe('the command line', () => {
  test('--help lists every setting, in its group', () => {
    const { code, out } = octavo('serve', '--help');
    expect(code).toBe(0);
    for (const [name, { group }] of listSettings('all')) {
      expect(out).toMatch(new RegExp(`^${group}:\\n(  .*\\n)*  --(no-)?${kebab(name)} `, 'm'));
    }
    const headings = [...out.matchAll(/^(\S.*):$/gm)].map(([, heading]) => heading);
    expect(headings).toEqual([...SETTING_GROUPS, 'Other']);
  });

  test.each([
    [['serve', '--prot', '1'], 2, /^octavo: unknown flag --prot: did you mean --port\? .*\n$/],
    [['serve', '--port', 'x'], 2, /^octavo: --port x: must be an integer from 0 to 65535\n$/],
    [['serve', '--model', '/does/not/exist'], 2, /^octavo: --model \/does\/not\/exist: .*\n$/],
    [
      ['generate', 'x', '--model', 'test'],
      1,
      /^octavo: the model directory has no config\.json, and no genai_config\.json either: .*\n$/,
    ],
    [['serv'], 2, /^octavo: unknown command serv: did you mean serve\? must be serve, .*\n$/],
    [
      ['help', 'bench', 'fly'],
      2,
      /^octavo: unknown command fly: must be serve; see octavo bench .*\n$/,
    ],
    [
      ['generate', 'hello', 'world'],
      2,
      /^octavo: too many arguments: expected 1, got 2 \(a text with spaces needs quotes\); see octavo generate --help\n$/,
    ],
    [['serve', 'x'], 2, /^octavo: too many arguments: expected none, got 1; see .*\n$/],
    [['completion', 'tcsh'], 2, /^octavo: shell tcsh: must be one of bash, zsh, fish\n$/],
    [['generate', '--max-num-seqs', '1', 'x'], 2, /^octavo: unknown flag --max-num-seqs: .*\n$/],
    [['generate', '--raw', '--system', 'x', 'y'], 2, /^octavo: --system with --raw: .*\n$/],
    [['generate', '--json-schema', '{', 'x'], 2, /^octavo: --json-schema \{: is not JSON: .*\n$/],
    [
      ['generate', '--json-schema', '/no', 'x'],
      2,
      /^octavo: --json-schema \/no: cannot be read \(ENOENT\); .*\n$/,
    ],
    [
      ['fly'],
      2,
      /^octavo: unknown command fly: must be serve, generate, .* or help; see octavo --help\n$/,
    ],
  ])('%j ends with code %i and one line', (args, code, message) => {
    const result = octavo(...args);
    expect(result.err).toMatch(message);
    expect([result.code, result.out]).toEqual([code, '']);
  });

  test.each([[[]], [['help']]])('octavo %j shows the commands', (args) => {
    const { code, out, err } = octavo(...args);
    expect([code, err]).toEqual([0, '']);
    expect(out).toMatch(/^Usage: octavo /);
    for (const name of ['serve', 'generate', 'inspect', 'bench', 'completion', 'help']) {
      expect(out).toMatch(new RegExp(`^ {2}${name} `, 'm'));
    }
  });

  test('bench serve --help has groups, too', () => {
    const { out } = octavo('bench', 'serve', '--help');
    const headings = [...out.matchAll(/^(\S.*):$/gm)].map(([, heading]) => heading);
    expect(headings).toEqual(['Server', 'Results', 'Workload', 'Load', 'Other']);
  });

  test('octavo help bench serve, and octavo bench, show what is there', () => {
    expect(octavo('help', 'bench', 'serve')).toEqual(octavo('bench', 'serve', '--help'));
    expect(octavo('bench')).toEqual(octavo('bench', '--help'));
  });

  test.each(['-v', '--version'])('octavo %s prints the version', (flag) => {
    expect(octavo(flag)).toEqual({
      code: 0,
      out: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) as string,
      err: '',
    });
  });

  test('generate takes nothing that only a server needs', () => {
    const { out } = octavo('generate', '--help');
    for (const flag of ['--scheduling-policy', '--max-num-seqs', '--port', '--enable-prefix']) {
      expect(out).not.toContain(flag);
    }
    for (const flag of ['--system', '--json-schema', '--raw', '--model', '--threads']) {
      expect(out).toContain(flag);
    }
  });
});
