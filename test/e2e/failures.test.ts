import { cpSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { freePort } from '../../bench/lib/free-port.js';
import { OnnxBuilder } from '../../bench/models/onnx-builder.js';
import { eventually } from '../support/eventually.js';
import { exportDir } from '../support/export-fixtures.js';
import { modelDir } from '../support/model-dir.js';
import {
  exitCode,
  type FinishedProcess,
  metric,
  octavo,
  runOctavo,
  SLOW_MODEL,
  startOctavo,
} from '../support/octavo-process.js';

const TINY = fileURLToPath(new URL('../../models/octavo-tiny', import.meta.url));

/** A copy of the embedded model, to be damaged. */
function copyOfTiny(damage: (directory: string) => void): string {
  const directory = modelDir({});
  for (const entry of [
    'config.json',
    'tokenizer.json',
    'tokenizer_config.json',
    'chat_template.jinja',
    'onnx',
  ]) {
    cpSync(join(TINY, entry), join(directory, entry), { recursive: true });
  }
  damage(directory);
  return directory;
}

/** One line on stderr, and no stack trace. */
function expectOneLine({ stderr }: FinishedProcess, pattern: RegExp): void {
  expect(stderr.trimEnd().split('\n')).toHaveLength(1);
  expect(stderr).toMatch(pattern);
  expect(stderr).not.toMatch(/\bat .*:\d+/);
}

describe('a worker thread of the attention dies', () => {
  it('fails what runs with a proper error, restarts once, then ends with 1', async () => {
    const preload = new URL('../support/kill-attention-worker.mjs', import.meta.url).href;
    const killFile = join(modelDir({}), 'kill');
    const { child, url } = await startOctavo(['--threads', '2'], {
      NODE_OPTIONS: `${SLOW_MODEL.NODE_OPTIONS} --import ${preload}`,
      KILL_FILE: killFile,
    });
    const code = exitCode(child);
    const ask = (stream: boolean): Promise<Response> =>
      fetch(`${url}/v1/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ prompt: 'Once', max_tokens: 1500, ignore_eos: true, stream }),
      });
    const failed = /\{"error":\{"message":"the engine has failed[^}]*"code":"engine_failed"\}\}/;
    const expectFailure = async (): Promise<void> => {
      const asked = Promise.all([ask(false), ask(true)]);
      const running = (): Promise<number> => metric(url, 'vllm:num_requests_running');
      await eventually(async () => (await running()) === 2, 'both run');
      writeFileSync(killFile, '');
      const [whole, streamed] = await asked;
      expect(whole.status).toBe(500);
      expect(await whole.text()).toMatch(failed);
      expect(streamed.status).toBe(200);
      expect((await streamed.text()).trimEnd().split('\n').at(-1)).toMatch(failed);
    };
    const health = async (): Promise<number | undefined> =>
      (await fetch(`${url}/health`).catch(() => null))?.status;
    await expectFailure();
    await eventually(async () => (await health()) === 200, 'it has a new engine');
    expect(await metric(url, 'vllm:engine_restarts_total')).toBe(1);
    await expect.poll(() => metric(url, 'vllm:kv_cache_usage_perc')).toBe(0);
    await expectFailure();
    // Until it is closed, the server says that it is not healthy.
    expect((await health()) ?? 503).toBe(503);
    expect(await code).toBe(1);
  });
});

describe('what goes wrong is said in one line', () => {
  it.each(['config.json', 'tokenizer.json', 'onnx/model.onnx'])(
    'a model without %s',
    async (file) => {
      const directory = copyOfTiny((d) => rmSync(join(d, file)));
      const result = await runOctavo(['serve', '--port', '0', '--model', directory]);
      expect(result.code).toBe(1);
      expectOneLine(result, new RegExp(file.replace('onnx/', '').replace('.', '\\.')));
    },
  );

  it('a truncated model.onnx', async () => {
    const directory = copyOfTiny((d) => truncateSync(join(d, 'onnx/model.onnx'), 5_000_000));
    const result = await runOctavo(['serve', '--port', '0', '--model', directory]);
    expect(result.code).toBe(1);
    const line =
      /model\.onnx: is not a complete ONNX protobuf: the field at byte \d+ ends behind byte 5000000/;
    expectOneLine(result, line);
  });

  it('an operator pattern that is not recognized', async () => {
    const foreign = new OnnxBuilder();
    foreign.input('input_ids', 7, ['b', 's']);
    foreign.node('Softmax', 'attn/softmax', ['input_ids'], { outputs: ['logits'] });
    foreign.output('logits', 1, ['b', 's']);
    const directory = copyOfTiny((d) => writeFileSync(join(d, 'onnx/model.onnx'), foreign.bytes()));
    const result = await runOctavo(['serve', '--port', '0', '--model', directory]);
    expect(result.code).toBe(1);
    expectOneLine(result, /no keys of a KV cache come to its softmax \(node attn\/softmax\)/);
  });

  it('a tokenizer of another model', async () => {
    const directory = copyOfTiny((d) => {
      const path = join(d, 'tokenizer.json');
      const file = JSON.parse(readFileSync(path, 'utf8')) as { added_tokens: object[] };
      file.added_tokens.push({ id: 5000, content: '<more>', special: true });
      writeFileSync(path, JSON.stringify(file));
    });
    const result = await runOctavo(['serve', '--port', '0', '--model', directory]);
    expect(result.code).toBe(1);
    expectOneLine(result, /tokenizer\.json: its vocabulary has 5001 tokens, .* logits have 2048/);
  });

  it('a port that is in use', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const address = other.address();
    const port = typeof address === 'object' && address ? address.port : 0;
    const result = await runOctavo(['serve', '--port', String(port)]);
    other.close();
    expect(result.code).toBe(1);
    expectOneLine(result, new RegExp(`${port}`));
  });

  it('a pool that cannot hold one request, with the numbers', async () => {
    const result = await runOctavo(['serve', '--port', '0', '--kv-cache-memory', '1MiB']);
    expect(result.code).toBe(1);
    expectOneLine(
      result,
      /holds 25 blocks of 16 tokens \(40960 bytes each\).*2048 tokens needs 128 blocks/,
    );
  });

  it('a wrong flag: exit code 2', async () => {
    const result = await runOctavo(['serve', '--max-num-sequences', '4']);
    expect(result.code).toBe(2);
    expectOneLine(result, /--max-num-sequences/);
  });

  it('shows the stack with --log-level debug', async () => {
    const directory = copyOfTiny((d) => rmSync(join(d, 'config.json')));
    const result = await runOctavo([
      'serve',
      '--port',
      '0',
      '--model',
      directory,
      '--log-level',
      'debug',
    ]);
    expect(result.code).toBe(1);
    expect(result.stderr).toMatch(/\bat .*:\d+/);
  });
});

describe('starting', () => {
  it('/health answers 503 while the model is loaded, then 200', async () => {
    const port = await freePort();
    const file = join(modelDir({}), 'load');
    const env = { ...SLOW_MODEL, LOAD_WHEN: file };
    const child = octavo(['serve', '--port', String(port)], env);
    const code = exitCode(child);
    const url = `http://127.0.0.1:${port}`;
    const seen: { status: number; body: unknown; retryAfter: string | null }[] = [];
    await eventually(
      async () => {
        const response = await fetch(`${url}/health`).catch(() => null);
        if (!response) return false;
        const retryAfter = response.headers.get('retry-after');
        seen.push({ status: response.status, body: await response.json(), retryAfter });
        writeFileSync(file, '');
        return response.status === 200;
      },
      'it is ready',
      { everyMs: 10 },
    );
    expect(seen.length).toBeGreaterThan(1);
    for (const { status, body, retryAfter } of seen.slice(0, -1)) {
      expect([status, retryAfter]).toEqual([503, '1']);
      expect(body).toMatchObject({ error: { code: 'loading', type: 'server_error' } });
    }
    child.kill('SIGTERM');
    expect(await code).toBe(0);
  });
});

describe('stopping', () => {
  it('SIGTERM: finishes and exits with 0', async () => {
    const { child } = await startOctavo();
    child.kill('SIGTERM');
    expect(await exitCode(child)).toBe(0);
  });
});

describe('octavo generate and inspect', () => {
  it('prints a completion', async () => {
    const result = await runOctavo([
      'generate',
      'What is the capital of Italy?',
      '--temperature',
      '0',
    ]);
    expect(result).toMatchObject({ code: 0, stdout: 'The capital of Italy is Rome.\n' });
  });

  it('takes a directory of ONNX Runtime GenAI', async () => {
    const directory = copyOfTiny((d) => {
      rmSync(join(d, 'config.json'));
      cpSync(join(d, 'onnx/model.onnx'), join(d, 'tiny-fp32.onnx'));
      rmSync(join(d, 'onnx'), { recursive: true });
      const decoder = { filename: 'tiny-fp32.onnx', hidden_size: 192, num_hidden_layers: 5 };
      const model = { context_length: 2048, vocab_size: 2048, eos_token_id: 2, decoder };
      writeFileSync(join(d, 'genai_config.json'), JSON.stringify({ model, search: {} }));
    });
    const question = ['What is the capital of Italy?', '--temperature', '0'];
    const result = await runOctavo(['generate', ...question, '--model', directory]);
    expect(result).toMatchObject({ code: 0, stdout: 'The capital of Italy is Rome.\n' });
  });

  it('prints what it recognized', async () => {
    const result = await runOctavo(['inspect', TINY]);
    expect(result.code).toBe(0);
    expect(result.stdout).toContain('5 attention sites');
  });

  it('inspects the number format that was asked for', async () => {
    const directory = exportDir('variants', 'smollm2');
    const { code, stdout } = await runOctavo(['inspect', directory, '--dtype', 'int8']);
    expect(code).toBe(0);
    expect(stdout).toContain('onnx/model_int8.onnx (int8) by --dtype int8');
  });
});
