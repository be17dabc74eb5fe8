import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { freePort } from '../../bench/lib/free-port.js';
import { embeddedModelDir } from '../../engine/environment/package-root.js';
import { hasProgram } from '../support/debian-programs.js';
import { modelDir } from '../support/model-dir.js';
import { octavo, piped, runOctavo, startOctavo } from '../support/octavo-process.js';
import { Terminal } from '../support/terminal.js';

const CTRL_C = '\u0003';
const CTRL_D = '\u0004';
const UP = '\u001b[A';

const TINY = embeddedModelDir();
const SCHEMA = '{"type":"object","properties":{"age":{"type":"integer"}},"required":["age"]}';

describe('octavo generate', () => {
  it.each([[['-']], [[]]])('reads standard input with %j', async (args) => {
    const all = ['generate', ...args, '--temperature', '0'];
    const result = await piped(all, 'What is the capital of Italy?\n');
    expect(result).toEqual({ code: 0, stdout: 'The capital of Italy is Rome.\n', stderr: '' });
  });

  it('refuses an empty standard input', async () => {
    expect(await piped(['generate'], '\n')).toEqual({
      code: 2,
      stdout: '',
      stderr: 'octavo: no prompt: standard input is empty\n',
    });
  });

  it('takes a system message', async () => {
    // A template that asks what the system message says, so that the small model shows that it was
    // there.
    const template = join(modelDir({}), 'system.jinja');
    const turns = '<|user|>{{ messages[0].content }}<|end|><|assistant|>';
    writeFileSync(template, `{{ bos_token }}${turns}`);
    const ask = ['generate', 'Hello!', '--temperature', '0', '--chat-template', template];
    const result = await runOctavo([...ask, '--system', 'What is the capital of Italy?']);
    expect(result).toMatchObject({ code: 0, stdout: 'The capital of Italy is Rome.\n' });
  });

  it('follows a JSON schema, given as text or as a file', async () => {
    const ask = ['generate', 'How old is Tom?', '--temperature', '0', '--json-schema'];
    const byText = await runOctavo([...ask, SCHEMA]);
    expect(byText).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(byText.stdout)).toEqual({ age: expect.any(Number) as number });
    const file = join(modelDir({}), 'schema.json');
    writeFileSync(file, SCHEMA);
    expect(await runOctavo([...ask, file])).toEqual(byText);
  });

  it('says what is wrong with a schema', async () => {
    const result = await runOctavo(['generate', 'x', '--json-schema', '{"type":"nope"}']);
    expect(result.code).toBe(1);
    expect(result.stderr).toMatch(/^octavo: --json-schema: .*"nope" is not a type.*\n$/);
  });
});

describe('octavo run', () => {
  const ask = ['--temperature', '0'];

  it('answers a prompt, and what comes through a pipe before it', async () => {
    const plain = await piped(['run', TINY, 'What is the capital of Italy?', ...ask], '');
    expect(plain).toEqual({ code: 0, stdout: 'The capital of Italy is Rome.\n', stderr: '' });
    const both = await piped(['run', TINY, 'of Italy?', ...ask], 'What is the capital\n');
    expect(both.stdout).toBe('The capital of Italy is Rome.\n');
  });

  it('is octavo chat, too; an empty pipe is no prompt', async () => {
    expect(await piped(['chat'], '')).toEqual({
      code: 2,
      stdout: '',
      stderr: 'octavo: no prompt: standard input is empty\n',
    });
    const twice = await piped(['chat', TINY, '--model', TINY], 'x');
    expect([twice.code, twice.stderr]).toEqual([
      2,
      `octavo: model ${TINY}: is named by --model, too\n`,
    ]);
  });
});

describe.skipIf(!hasProgram('script'))('on a terminal', () => {
  it('octavo run streams, stops an answer at Ctrl-C, keeps a history, and leaves at Ctrl-D', async () => {
    const terminal = new Terminal(['run', TINY, '--temperature', '0']);
    await terminal.shows(/\/\? for help\r\n.*> /);
    terminal.type('What is the capital of France?\r');
    await terminal.shows(/The capital of France is Paris\.\r\n/);
    await terminal.shows(/\d+ tokens, .* tokens\/s.*\r\n.*> /);
    terminal.type('garbage');
    await terminal.shows(/garbage/);
    terminal.type(CTRL_C);
    await terminal.shows(/\^C\r\n.*> /);
    terminal.type('Tell me a story about an owl.\r');
    await terminal.shows(/Once upon/);
    terminal.type(CTRL_C);
    await terminal.shows(/tokens\/s.*\r\n.*> /);
    expect(terminal.screen).not.toContain('the mill');
    terminal.type('/set parameter num_predict 40\r');
    await terminal.shows(/parameters: temperature 0, num_predict 40\r\n.*> /);
    terminal.type('/clear\r');
    await terminal.shows(/forgotten\r\n.*> /);
    terminal.type(`${UP}${UP}${UP}${UP}\r`);
    await terminal.shows(/The capital of France is Paris\.\r\n/);
    await terminal.shows(/> /);
    terminal.type(CTRL_C);
    await terminal.shows(/Ctrl-D leaves/);
    terminal.type(CTRL_D);
    expect(await terminal.ended).toBe(0);
  });

  it('octavo generate without a prompt does not wait for one', async () => {
    const terminal = new Terminal(['generate']);
    expect(await terminal.ended).toBe(2);
    expect(terminal.screen).toMatch(/^octavo: no prompt: give one, or - to type it/);
  });

  it('octavo serve says where to look, and nothing of what was done to the graph', async () => {
    const terminal = new Terminal(['serve', '--port', '0']);
    await terminal.shows(/serving octavo-tiny on http:\/\/127\.0\.0\.1:\d+/);
    const [, url] = /on (http:\S+)/.exec(terminal.screen) ?? [];
    await terminal.shows(/dashboard +\S+\r\n.*\/docs\)/);
    for (const path of ['/\r', '/dashboard\r', '/v1 ', '/docs)']) {
      expect(terminal.screen).toContain(`${url}${path}`);
    }
    expect(terminal.screen).not.toContain('cut out');
    terminal.type(CTRL_C);
    expect(await terminal.ended).toBe(0);
  });

  it('octavo serve --log-level warn still says where it is, and a pipe gets warnings only', async () => {
    const args = ['serve', '--port', '0', '--log-level', 'warn'];
    const terminal = new Terminal(args);
    await terminal.shows(/octavo: serving octavo-tiny on http:\/\/127\.0\.0\.1:\d+\r\n/);
    await terminal.shows(/chat +http\S+\/\r\n.*\/docs\)\r\n/s);
    expect(terminal.screen).not.toContain('INFO');
    terminal.type(CTRL_C);
    expect(await terminal.ended).toBe(0);
    const port = await freePort();
    const child = octavo(['serve', '--port', String(port), '--log-level', 'warn']);
    let printed = '';
    child.stdout?.on('data', (chunk: Buffer) => (printed += chunk.toString()));
    const isUp = async (): Promise<boolean> =>
      fetch(`http://127.0.0.1:${port}/health`).then(
        ({ status }) => status === 200,
        () => false,
      );
    await expect.poll(isUp).toBe(true);
    expect(printed).toBe('');
  });

  it('octavo serve writes a request as one line, and says at Ctrl-C what it waits for', async () => {
    const terminal = new Terminal(['serve', '--port', '0']);
    await terminal.shows(/\/docs\)/);
    const [, url] = /on (http:\S+)/.exec(terminal.screen) ?? [];
    const ask = (body: object): Promise<Response> =>
      fetch(`${url}/v1/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ prompt: 'Once', ...body }),
      });
    await (await ask({ max_tokens: 1 })).text();
    await terminal.shows(/INFO: request \{"requestId":.*"finishReason":"length"\}\r\n/);
    await fetch(`${url}/nowhere`);
    await terminal.shows(/INFO: request \{.*"status":404,.*"error":"route_not_found"\}\r\n/);
    const stream = await ask({ stream: true, max_tokens: 1900, ignore_eos: true });
    terminal.type(CTRL_C);
    await terminal.shows(/draining: 1 request may take up to 30 s; a second signal ends it\r\n/);
    terminal.type(CTRL_C);
    expect(await terminal.ended).toBe(130);
    await expect(stream.text()).rejects.toThrow('terminated');
  });
});

describe('octavo serve in a pipe', () => {
  it('writes JSON only, and what was done to the graph at debug', async () => {
    const plain = await startOctavo();
    expect(plain.output).not.toContain('cut out');
    const debug = await startOctavo(['--log-level', 'debug']);
    expect(debug.output).toContain('cut out 5 attention nodes');
    for (const line of plain.output.trimEnd().split('\n')) {
      expect(JSON.parse(line)).toHaveProperty('msg');
    }
    expect(plain.output).not.toContain('/dashboard');
  });
});

describe('octavo replay', () => {
  it('makes the decisions of a run again, from the file that --trace-steps has written', async () => {
    const file = join(mkdtempSync(join(tmpdir(), 'trace-')), 'steps.jsonl');
    const ask = ['generate', 'Hello!', '--temperature', '0'];
    const traced = await runOctavo([...ask, '--trace-steps', file]);
    // The variable does the same; a second run goes into the same file.
    const again = await runOctavo(ask, { OCTAVO_TRACE_STEPS: file });
    expect([traced.code, again.stdout]).toEqual([0, traced.stdout]);
    const replayed = await runOctavo(['replay', file]);
    expect(replayed.stdout).toMatch(
      /^runs: 2, requests: 2, steps: \d+\. Every decision is the same\.\n$/,
    );
    expect([replayed.code, replayed.stderr]).toEqual([0, '']);
    const lines = readFileSync(file, 'utf8').replace('"numComputed":0', '"numComputed":7');
    writeFileSync(file, lines);
    const differs = await runOctavo(['replay', file]);
    expect(differs.code).toBe(1);
    expect(differs.stdout).toContain(
      'Line 3: schedule differs at sequences[0].numComputed\n  traced:   7\n  replayed: 0\n',
    );
  });

  it('says what is wrong with its file', async () => {
    const absent = await runOctavo(['replay', '/nonexistent.jsonl']);
    expect([absent.code, absent.stderr]).toEqual([
      2,
      "octavo: /nonexistent.jsonl: cannot be read: ENOENT: no such file or directory, open '/nonexistent.jsonl'\n",
    ]);
    const directory = await runOctavo(['generate', 'Hello!', '--trace-steps', tmpdir()]);
    expect(directory.code).toBe(2);
    expect(directory.stderr).toContain('cannot be written: EISDIR');
  });
});
