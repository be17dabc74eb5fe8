import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import { bytesOf } from '../support/byte-model.js';
import { modelDir } from '../support/model-dir.js';
import { exitCode, type FinishedProcess, octavo, runOctavo } from '../support/octavo-process.js';
import { ScriptedEngine } from '../support/scripted-engine.js';
import { startTestServer, stopTestServers } from '../support/test-server.js';

afterEach(stopTestServers);

/** Answers with so many tokens as are asked for. */
const echoing = (): ScriptedEngine =>
  new ScriptedEngine(({ maxTokens }) => ({
    steps: Array.from({ length: maxTokens }, () => bytesOf('a')),
    finish: 'length',
    cachedTokens: 1,
  }));

const words = (flags: string): string[] => ['bench', 'serve', ...flags.split(' ')];
const bench = (flags: string): Promise<FinishedProcess> => runOctavo(words(flags));

interface Written {
  readonly options: { readonly endpoint: { readonly model: string } };
  readonly summary: {
    readonly requests: object;
    readonly tokens: object;
    readonly latencyMs: { readonly ttft: { readonly count: number } };
  };
  readonly requests: readonly { readonly sentMs: number }[];
}

/** A server that is not ours, for as long as the test lasts. */
async function foreignServer(listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe('octavo bench serve', () => {
  it('loads a server, prints tables, writes JSON and a plot', async () => {
    const engine = echoing();
    const { url } = await startTestServer(engine);
    const directory = modelDir({});
    const files = ['json', 'markdown', 'svg'].map((kind) => join(directory, `out/run.${kind}`));
    const result = await bench(
      `--url ${url}/v1 --num-prompts 20 --request-rate 200 --warmup 1 --seed 3 --vocab-size 200 ` +
        `--dataset fixed --input-len 12 --output-len 5 --goodput ttft:5000,itl:5000 ` +
        `--json ${files[0]} --markdown ${files[1]} --svg ${files[2]}`,
    );
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(result.stdout).toContain('20 sent, 20 succeeded, 0 failed');
    expect(result.stdout).toContain('100 % of those sent');
    expect(readFileSync(files[1], 'utf8')).toBe(result.stdout);
    expect(readFileSync(files[2], 'utf8')).toMatch(/^<svg .*<\/svg>\n$/s);
    const json = JSON.parse(readFileSync(files[0], 'utf8')) as Written;
    expect(json.options.endpoint.model).toBe('byte-model');
    expect(json.summary.requests).toMatchObject({ succeeded: 20, errors: {} });
    expect(json.summary.tokens).toMatchObject({ input: 240, output: 100, cachedInput: 20 });
    expect(json.summary.latencyMs.ttft.count).toBe(20);
    expect(json.requests).toHaveLength(20);
    expect(engine.submitted).toHaveLength(21);
    expect(engine.submitted[5].request).toMatchObject({
      maxTokens: 5,
      sampling: { temperature: 0 },
    });
  });

  it('runs conversations over chat, each turn with the answers before', async () => {
    const engine = echoing();
    const { url } = await startTestServer(engine);
    const result = await bench(
      `--url ${url} --num-prompts 3 --turns 2 --concurrency 2 --dataset fixed --input-len 4 --output-len 3`,
    );
    expect(result.stdout).toContain('6 sent, 6 succeeded');
    const lengths = engine.submitted.map(({ request }) => request.promptTokenIds.length);
    expect(Math.max(...lengths)).toBeGreaterThan(Math.min(...lengths) + 'aaa'.length);
  });

  it('counts errors by kind; 1 when nothing succeeded', async () => {
    const url = await foreignServer((request, response) => {
      if (request.url === '/v1/models') {
        response.end('{"data":[{"id":"m"}]}');
        return;
      }
      response.statusCode = 429;
      response.end('{"error":{"message":"slow down"}}');
    });
    const result = await bench(`--url ${url} --num-prompts 3`);
    expect(result.code).toBe(1);
    expect(result.stdout).toContain('| http_429 | 3, the first: slow down |');
  });

  it('sees a stream that breaks off, an error event and a slow server; counts chunks without usage', async () => {
    let calls = 0;
    const url = await foreignServer((_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      const call = calls++;
      response.write('data: {"choices":[{"text":"a","finish_reason":null}]}\n\n');
      if (call === 0) response.end('data: {"choices":[{"text":"b","finish_reason":"length"}]}\n\n');
      if (call === 1) response.end();
      if (call === 2) response.end('data: {"error":{"message":"no"}}\n\n');
    });
    const result = await bench(
      `--url ${url} --model m --num-prompts 4 --concurrency 1 --timeout 3`,
    );
    for (const row of ['incomplete_stream | 1', 'error_event | 1, the first: no', 'timeout | 1']) {
      expect(result.stdout).toContain(`| ${row} |`);
    }
    expect(result.stdout).toContain('0 in, 2 out; the server gave no usage, chunks were counted');
  });

  it('Ctrl-C: prints what there is', async () => {
    const engine = new ScriptedEngine(() => ({
      steps: [bytesOf('a')],
      finish: engine.submitted.length > 2 ? null : 'length',
    }));
    const { url } = await startTestServer(engine);
    const child = octavo(words(`--url ${url} --concurrency 2 --dataset fixed --vocab-size 200`));
    let stdout = '';
    child.stdout?.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    const timer = setInterval(() => {
      if (engine.submitted.length < 4) return;
      clearInterval(timer);
      child.kill('SIGINT');
    }, 20);
    expect(await exitCode(child)).toBe(130);
    expect(stdout).toMatch(/2 succeeded, 0 failed, 2 cut/);
  });

  it('is cut after --duration', async () => {
    const engine = new ScriptedEngine(() => ({ steps: [], finish: null }));
    const { url } = await startTestServer(engine);
    const result = await bench(`--url ${url} --duration 0.2 --dataset fixed --vocab-size 200`);
    expect(result.stdout).toContain('0 succeeded, 0 failed, 8 cut');
  });
});
