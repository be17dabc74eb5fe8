import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { commandSettings } from '../../../server/config/command-settings.js';
import { readConfigFile } from '../../../server/config/config-file.js';
import { modelDir } from '../../support/model-dir.js';

function file(text: string): string {
  const path = join(modelDir({}), 'octavo.yaml');
  writeFileSync(path, text);
  return path;
}

it('gives settings by the names of flags, as text or as YAML has it', () => {
  const path = file(
    '# a comment\nport: 9000\nkv-cache-memory: 2GiB\nenable-prefix-caching: false\nmodel: [a, b=c]\nmax-queue-time: 0.5\nhost: "::1"\n',
  );
  expect(readConfigFile(path).problems).toEqual([]);
  expect(commandSettings({ config: [path] })).toMatchObject({
    port: 9000,
    kvCacheMemory: 2 ** 31,
    enablePrefixCaching: false,
    model: ['a', 'b=c'],
    maxQueueTime: 0.5,
    host: '::1',
    maxNumSeqs: 64,
    config: path,
  });
});

it('flags win over it, and so do variables', () => {
  const path = file('port: 9000\nmax-num-seqs: 3\nthreads: 1\n');
  process.env['OCTAVO_MAX_NUM_SEQS'] = '5';
  try {
    const settings = commandSettings({ config: [path], port: ['9001'] });
    expect(settings).toMatchObject({ port: 9001, maxNumSeqs: 5, threads: 1 });
  } finally {
    delete process.env['OCTAVO_MAX_NUM_SEQS'];
  }
});

it('names each problem with its line', () => {
  const path = file(
    'port: 90000\nmax_num_seqs: 3\nfoo-bar-baz: 1\nthreads: [1, 2]\nlog-level:\nquantize:\n  x: y\nconfig: z\n',
  );
  const unknown = 'keys are the flags of octavo serve without --';
  expect(readConfigFile(path).problems).toEqual([
    `${path}:1: port 90000: must be an integer from 0 to 65535`,
    `${path}:2: max_num_seqs: unknown key: did you mean max-num-seqs? ${unknown}`,
    `${path}:3: foo-bar-baz: unknown key: ${unknown}`,
    `${path}:4: threads: must be one value`,
    `${path}:5: log-level: must be one value`,
    `${path}:6: quantize: must be one value`,
    `${path}:8: config: unknown key: ${unknown}`,
  ]);
  expect(() => commandSettings({ config: [path] })).toThrow(`${path}:1: port 90000: must be`);
});

it.each([
  ['port: 1\nport: 2\n', /:2: Map keys must be unique/],
  ['port: [1\n', /:\d: /],
  ['- port\n', /:1: must be settings, one a line: port: 8000$/],
])('says what is wrong with %j', (text, problem) => {
  expect(readConfigFile(file(text)).problems[0]).toMatch(problem);
});

it('must be there when it is named', () => {
  expect(() => commandSettings({ config: ['/nowhere.yaml'] })).toThrow(
    '--config /nowhere.yaml: cannot be read (ENOENT)',
  );
  expect(commandSettings({}).config).toBeUndefined();
});
