import { rmSync } from 'node:fs';
import OpenAI from 'openai';
import { expect, it, onTestFinished } from 'vitest';
import { tinyAdapter, writeAdapter } from '../support/adapters.js';
import { modelDir } from '../support/model-dir.js';
import { exitCode, runOctavo, startOctavo } from '../support/octavo-process.js';

const SMALL = ['--max-model-len', '256', '--kv-cache-memory', '16MiB', '--threads', '1'];

function adapter(seed: number): string {
  const directory = writeAdapter(tinyAdapter(seed, 0.3));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

it('serves adapters as models, which come and go while requests run', async () => {
  const [red, blue] = [adapter(1), adapter(2)];
  const server = await startOctavo([
    ...SMALL,
    '--lora',
    `red=${red}`,
    '--lora-modules',
    `crimson=${red}`,
    '--allow-runtime-lora-updating',
    '--max-loras',
    '2',
  ]);
  const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none' });
  const say = async (model: string, more: object = {}) => {
    const { choices, model: named } = await client.chat.completions.create({
      model,
      messages: [{ role: 'user', content: 'What is the capital of France?' }],
      temperature: 0,
      max_tokens: 24,
      ...more,
    });
    expect(named).toBe(model);
    return choices[0].message.content;
  };
  const post = async (path: string, body: object) => {
    const response = await fetch(server.url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    return { status: response.status, text: await response.text() };
  };
  const load = (name: string, path: string, more: object = {}) =>
    post('/v1/load_lora_adapter', { lora_name: name, lora_path: path, ...more });
  const unload = (name: string) => post('/v1/unload_lora_adapter', { lora_name: name });
  const names = async () => (await client.models.list()).data.map(({ id }) => id);

  const [plain, own] = [await say('octavo-tiny'), await say('red')];
  expect(own).not.toBe(plain);
  expect(await say('crimson')).toBe(own);
  const listed = (await client.models.list()).data;
  expect(listed).toMatchObject([
    { id: 'octavo-tiny', root: 'octavo-tiny', parent: null },
    { id: 'red', root: red, parent: 'octavo-tiny' },
    { id: 'crimson', root: red, parent: 'octavo-tiny' },
  ]);
  expect(await client.models.retrieve('red')).toEqual(listed[1]);

  expect(await load('blue', blue)).toEqual({
    status: 200,
    text: "Success: LoRA adapter 'blue' added successfully.",
  });
  const other = await say('blue');
  expect([own, plain]).not.toContain(other);
  const together = await Promise.all(['blue', 'octavo-tiny', 'red'].map((name) => say(name)));
  expect(together).toEqual([other, plain, own]);

  expect(await load('blue', blue)).toMatchObject({ status: 400 });
  expect((await load('octavo-tiny', blue)).text).toContain('the model itself is called');
  expect(await load('green', adapter(3))).toMatchObject({ status: 409 });
  const damaged = await load('green', modelDir({ 'adapter_config.json': '{' }));
  expect(damaged.status).toBe(400);
  expect(JSON.parse(damaged.text)).toMatchObject({
    error: { code: 'adapter_invalid', message: expect.stringContaining('is not JSON') as string },
  });
  expect(await load('', blue)).toMatchObject({ status: 400 });
  expect(await unload('green')).toMatchObject({ status: 404 });

  const stream = await client.completions.create({
    model: 'blue',
    prompt: 'Once upon a time',
    max_tokens: 120,
    temperature: 0,
    stream: true,
    stream_options: { include_usage: true },
  });
  let tokens = 0;
  for await (const { choices, usage } of stream) {
    if (tokens++ === 2) {
      expect(await fetch(`${server.url}/metrics`).then((r) => r.text())).toMatch(
        /vllm:lora_requests_info\{.*max_lora="2",running_lora_adapters="blue",waiting_lora_adapters=""/,
      );
      expect(await unload('blue')).toMatchObject({ status: 200 });
      await expect(say('blue')).rejects.toMatchObject({ status: 404, code: 'model_not_found' });
    }
    if (usage) expect(usage.completion_tokens).toBeGreaterThan(20);
    else expect(choices).toHaveLength(1);
  }
  expect(await names()).toEqual(['octavo-tiny', 'red', 'crimson']);
  expect(await load('red', blue, { load_inplace: true })).toMatchObject({ status: 200 });
  expect(await say('red')).toBe(other);
  expect(await say('octavo-tiny')).toBe(plain);
  expect((await fetch(`${server.url}/health`)).status).toBe(200);
  const code = exitCode(server.child);
  server.child.kill('SIGTERM');
  expect(await code).toBe(0);
});

it('does not start with an adapter that cannot be served', async () => {
  const { code, stderr } = await runOctavo(['serve', '--port', '0', '--lora', 'red=/nowhere']);
  expect(code).toBe(1);
  expect(stderr).toContain('/nowhere/adapter_config.json: cannot be read');
  const wrong = await runOctavo(['serve', '--lora', '/nowhere']);
  expect(wrong).toMatchObject({ code: 2 });
  expect(wrong.stderr).toContain('--lora /nowhere: must be a name, = and a directory');
});

it('answers once by an adapter of the command line, or says which there are', async () => {
  const ask = ['generate', 'What is the capital of France?', '--temperature', '0', ...SMALL];
  const named = [...ask, '--max-tokens', '12', '--lora', `red=${adapter(1)}`];
  const [plain, own, unknown] = await Promise.all([
    runOctavo(named),
    runOctavo([...named, '--adapter', 'red']),
    runOctavo([...named, '--adapter', 'green']),
  ]);
  expect(plain).toMatchObject({ code: 0, stdout: expect.stringContaining('Paris') as string });
  expect(own).toMatchObject({ code: 0, stderr: '' });
  expect(own.stdout).not.toBe(plain.stdout);
  expect(unknown).toMatchObject({
    code: 1,
    stdout: '',
    stderr: "octavo: --adapter: 'green' is not loaded; there are red\n",
  });
});
