import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import { OctavoError } from '../../../engine/errors.js';
import { bytesOf } from '../../support/byte-model.js';
import { hasProgram } from '../../support/debian-programs.js';
import { octavo } from '../../support/octavo-process.js';
import { ScriptedEngine } from '../../support/scripted-engine.js';
import { eventually, startTestServer, stopTestServers } from '../../support/test-server.js';

afterEach(stopTestServers);

const SECRET = 'a secret prompt';
const KEY = 'sk-a-secret-key';
const CLI = fileURLToPath(new URL('../../../dist/server/cli.js', import.meta.url));

const engine = (): ScriptedEngine =>
  new ScriptedEngine(({ pooling }) => ({
    steps: pooling ? [[]] : [bytesOf('a'), bytesOf('b')],
    finish: pooling ? 'stop' : 'length',
    cachedTokens: 3,
    times: { queued: 2.4, prefill: 5.6 },
    embedding: new Float32Array(8),
  }));

const chat = (more: object = {}): object => ({
  messages: [{ role: 'user', content: SECRET }],
  ...more,
});

const requestLines = (log: readonly Record<string, unknown>[]): Record<string, unknown>[] =>
  log.filter(({ msg }) => msg === 'request');

describe('a request’s line', () => {
  it.each([true, false])('says who, what, how much and how long (stream: %s)', async (stream) => {
    const server = await startTestServer(engine(), { apiKeys: ['other', KEY] });
    const headers = { 'x-request-id': 'mine', authorization: `Bearer ${KEY}` };
    await (await server.post('/v1/chat/completions', chat({ stream }), headers)).text();
    await eventually(() => requestLines(server.log).length === 1, 'the line');
    const milliseconds = expect.any(Number) as number;
    expect(requestLines(server.log)[0]).toEqual({
      level: 30,
      time: expect.any(Number) as number,
      pid: expect.any(Number) as number,
      hostname: expect.any(String) as string,
      msg: 'request',
      requestId: 'mine',
      method: 'POST',
      route: '/v1/chat/completions',
      status: 200,
      key: createHash('sha256').update(KEY).digest('hex').slice(0, 8),
      id: expect.stringMatching(/^chatcmpl-/) as string,
      model: 'byte-model',
      stream,
      promptTokens: 32,
      completionTokens: 2,
      cachedTokens: 3,
      reasoningTokens: 0,
      queueMs: 2,
      prefillMs: 6,
      ttftMs: milliseconds,
      generatedMs: milliseconds,
      totalMs: milliseconds,
      finishReason: 'length',
    });
  });

  it('names the error of a request that failed', async () => {
    const failing = new ScriptedEngine(() => ({
      steps: [bytesOf('a')],
      finish: null,
      error: new OctavoError('engine_failed', 'it broke'),
    }));
    const server = await startTestServer(failing);
    await (await server.post('/v1/completions', { prompt: 'x', stream: true })).text();
    await (await server.post('/v1/completions', { prompt: 'x', temperature: -1 })).text();
    await eventually(() => requestLines(server.log).length === 2, 'the lines');
    expect(requestLines(server.log)).toMatchObject([
      { status: 200, error: 'engine_failed', finishReason: 'error' },
      { status: 400, error: 'invalid_request' },
    ]);
  });
});

describe('prompts and keys', () => {
  const everything: readonly (readonly [string, unknown])[] = [
    ['/v1/chat/completions', chat()],
    ['/v1/chat/completions', chat({ stream: true, user: SECRET })],
    ['/v1/completions', { prompt: SECRET, stop: [SECRET] }],
    ['/v1/responses', { input: SECRET, instructions: SECRET }],
    ['/v1/embeddings', { input: SECRET }],
    ['/tokenize', { prompt: SECRET }],
    // What fails says in its error what it was given; the log must not.
    ['/v1/chat/completions', chat({ model: SECRET })],
    ['/v1/chat/completions', { messages: [{ role: SECRET, content: SECRET }] }],
    ['/v1/chat/completions', { messages: [{ role: 'tool', content: SECRET, tool_call_id: 'x' }] }],
    ['/v1/chat/completions', `{"messages": "${SECRET}`],
    ['/v1/completions', { prompt: SECRET.repeat(100) }],
    ['/v1/completions', { prompt: SECRET, guided_regex: `(${SECRET}` }],
  ];

  it('are never logged', async () => {
    const server = await startTestServer(engine(), { apiKeys: [KEY] });
    for (const [path, body] of everything) {
      await (await server.post(path, body, { authorization: `Bearer ${KEY}` })).text();
    }
    await (
      await server.post(
        '/v1/completions',
        { prompt: SECRET },
        { authorization: `Bearer ${SECRET}` },
      )
    ).text();
    await eventually(() => requestLines(server.log).length === everything.length + 1, 'the lines');
    expect(JSON.stringify(server.log)).not.toContain(SECRET);
    expect(JSON.stringify(server.log)).not.toContain(KEY);
  });

  it('prompts are with --log-prompts, as the model reads them; keys still are not', async () => {
    const server = await startTestServer(engine(), {
      apiKeys: [KEY],
      settings: { logPrompts: true },
    });
    const headers = { authorization: `Bearer ${KEY}` };
    for (const [path, body] of everything.slice(0, 5)) {
      await (await server.post(path, body, headers)).text();
    }
    await eventually(() => requestLines(server.log).length === 5, 'the lines');
    const chatPrompt = `<user>${SECRET}<assistant>`;
    expect(requestLines(server.log).map(({ prompts }) => prompts)).toEqual([
      [chatPrompt],
      [chatPrompt],
      [SECRET],
      [`<system>${SECRET}<user>${SECRET}<assistant>`],
      [SECRET],
    ]);
    expect(JSON.stringify(server.log)).not.toContain(KEY);
  });

  it('a real server warns when its log holds prompts', async () => {
    const child = octavo(['serve', '--port', '0', '--log-prompts', '--log-level', 'debug']);
    let log = '';
    child.stdout?.on('data', (chunk: Buffer) => (log += chunk.toString()));
    const serving = (): RegExpExecArray | null => /serving \S+ on (http:[^"]+)/.exec(log);
    await eventually(() => serving() !== null, 'it serves');
    expect(log).toMatch(/"level":40[^\n]*--log-prompts is on/);
    const response = await fetch(`${serving()?.[1]}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ prompt: SECRET, max_tokens: 2 }),
    });
    expect(response.status).toBe(200);
    await eventually(() => log.includes('"msg":"request"'), 'the line');
    expect(log).toMatch(/"prompts":\["[^"]*a secret prompt"\]/);
    // The log does not contain the answer, which was not asked for.
    const { choices } = (await response.json()) as { choices: { text: string }[] };
    expect(log).not.toContain(JSON.stringify(choices[0].text));
  });
});

describe.skipIf(!hasProgram('script'))('on a terminal', () => {
  it('the log is for people: colors and one readable line, no JSON', async () => {
    const output = await onTerminal({});
    expect(output).toContain('\u001B[32mINFO\u001B[39m: ');
    expect(output).toMatch(/\[\d\d:\d\d:\d\d\.\d\d\d\] .*octavo: serving octavo-tiny on http/);
    expect(output).not.toContain('{"level"');
  });

  it('without colors where they are not wanted', async () => {
    const output = await onTerminal({ NO_COLOR: '1' });
    expect(output).toMatch(/\[\d\d:\d\d:\d\d\.\d\d\d\] INFO: octavo: serving octavo-tiny on http/);
    expect(output).not.toContain('\u001B[');
  });
});

/** What a server prints on a terminal of its own, until it serves. */
async function onTerminal(env: Record<string, string>): Promise<string> {
  const command = `exec "${process.execPath}" "${CLI}" serve --port 0`;
  // Node takes CI for a terminal without colors.
  const { CI: _ci, NO_COLOR: _noColor, ...inherited } = process.env;
  const child = spawn('script', ['-qec', command, '/dev/null'], {
    env: { ...inherited, TERM: 'xterm-256color', ...env },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  let output = '';
  child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()));
  await eventually(() => /serving \S+ on http:\S+/.test(output), 'it serves');
  child.kill('SIGTERM');
  return output;
}
