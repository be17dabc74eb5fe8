import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { eventually } from '../support/eventually.js';
import { DATA, octavoTinyRepository } from '../support/hub-models.js';
import { HubServer } from '../support/hub-server.js';
import {
  exitCode,
  finished,
  octavo,
  octavoThrough,
  runOctavo,
  startOctavo,
} from '../support/octavo-process.js';

const MODEL = 'octavo/octavo-tiny';
const TOKEN = 'hf_right';

async function startHub(): Promise<{ hub: HubServer; env: Record<string, string>; home: string }> {
  const hub = await HubServer.start({
    [MODEL]: { ...octavoTinyRepository(), only: { token: TOKEN, kind: 'gated' } },
  });
  const home = mkdtempSync(join(tmpdir(), 'octavo-hub-'));
  onTestFinished(() => {
    hub.close();
    rmSync(home, { recursive: true, force: true });
  });
  // Nothing of the environment that the tests run in.
  const own = {
    HF_HUB_CACHE: '',
    HF_HUB_OFFLINE: '',
    TRANSFORMERS_OFFLINE: '',
    NO_PROXY: '*',
    no_proxy: '*',
  };
  return { hub, env: { ...own, HF_ENDPOINT: hub.url, HF_HOME: home, HF_TOKEN: TOKEN }, home };
}

async function answerOf(env: Record<string, string>): Promise<string> {
  const { child, url } = await startOctavo(['--model', MODEL], env);
  const { data } = (await (await fetch(`${url}/v1/models`)).json()) as { data: { id: string }[] };
  expect(data.map(({ id }) => id)).toEqual([MODEL, 'octavo-tiny']);
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model: MODEL,
      messages: [{ role: 'user', content: 'What is the capital of France?' }],
      temperature: 0,
    }),
  });
  const { choices } = (await response.json()) as { choices: { message: { content: string } }[] };
  const ended = exitCode(child);
  child.kill('SIGTERM');
  expect(await ended).toBe(0);
  return choices[0].message.content;
}

it('a model of the hub is downloaded and served; then served offline, and online with one question', async () => {
  const { hub, env, home } = await startHub();
  const expected = 'The capital of France is Paris.';
  expect(await answerOf(env)).toBe(expected);
  expect(hub.seen(/GET cdn/)).toHaveLength(2);
  hub.requests.length = 0;
  expect(await answerOf({ ...env, HF_HUB_OFFLINE: '1' })).toBe(expected);
  expect(hub.requests).toEqual([]);
  expect(await answerOf(env)).toBe(expected);
  expect(hub.requests.map(({ method, url }) => `${method} ${url}`)).toEqual([
    `GET hub/api/models/${MODEL}/revision/main?blobs=true`,
  ]);
  // The weights were used where they are: nothing was written beside them.
  const dir = join(home, 'hub', 'models--octavo--octavo-tiny');
  expect(readdirSync(join(dir, 'blobs')).every((name) => /^[0-9a-f]{40,64}$/.test(name))).toBe(
    true,
  );
});

it('Ctrl-C in the middle of a download keeps what came, and the next start goes on from there', async () => {
  const { hub, env, home } = await startHub();
  const sent = 300_000;
  hub.break(
    /GET cdn/,
    (response, { bytes }) => {
      response.writeHead(200, { 'content-length': bytes.length });
      response.write(bytes.subarray(0, bytes.length > sent ? sent : undefined));
      if (bytes.length <= sent) response.end();
    },
    2,
  );
  const child = octavo(['inspect', MODEL], env);
  const ended = exitCode(child);
  const blobs = join(home, 'hub', 'models--octavo--octavo-tiny', 'blobs');
  const partialSize = (): number => {
    const name = readdirSync(blobs).find((file) => file.endsWith('.incomplete'));
    return name === undefined ? 0 : readFileSync(join(blobs, name)).length;
  };
  await eventually(
    () => hub.seen(/GET hub.*onnx_data/).length > 0 && partialSize() === sent,
    'a part of the data is on the disk',
  );
  child.kill('SIGINT');
  expect(await ended).not.toBe(0);
  const { code, stdout, stderr } = await runOctavo(['inspect', MODEL], env);
  expect(code).toBe(0);
  expect(stdout).toContain('5 attention sites');
  expect(stderr).toMatch(/downloading onnx\/model\.onnx_data: 100 %/);
  expect(hub.seen(/GET hub.*onnx_data/).at(-1)?.range).toBe(`bytes=${sent}-`);
  expect(DATA).toBe('onnx/model.onnx_data');
});

it('a disk that takes no more ends a download with a line, and the next start goes on from there', async () => {
  const { hub, env } = await startHub();
  // A limit on files (in blocks of 512 or 1024 bytes) is what a test can have without a disk of its
  // own.
  const limited = octavoThrough('ulimit -f 4000; exec "$@"', ['inspect', MODEL], env);
  const { code, stderr } = await finished(limited);
  expect(code).toBe(1);
  expect(stderr.trimEnd().split('\n').at(-1)).toMatch(
    /^octavo: the cache cannot be written: EFBIG: .*; HF_HUB_CACHE or HF_HOME name another$/,
  );
  expect((await runOctavo(['inspect', MODEL], env)).code).toBe(0);
  expect(hub.seen(/GET hub.*onnx_data/).at(-1)?.range).toMatch(/^bytes=\d{7}-$/);
});

it.each([
  [
    { HF_TOKEN: '' },
    MODEL,
    1,
    /^octavo: octavo\/octavo-tiny: access is restricted; .*\(no token is set\)\n$/,
  ],
  [{}, `${MODEL}@v9`, 1, /^octavo: octavo\/octavo-tiny: no revision v9 at http:\S+; a branch/],
  [
    { HF_HUB_OFFLINE: '1' },
    MODEL,
    1,
    /^octavo: HF_HUB_OFFLINE is set, and octavo\/octavo-tiny@main is not/,
  ],
  [
    { HF_ENDPOINT: 'hub' },
    MODEL,
    2,
    /^octavo: HF_ENDPOINT hub: must be an http:\/\/ or https:\/\/ URL/,
  ],
  [
    {},
    '../etc',
    2,
    /^octavo: --model \.\.\/etc: must be the directory of a model, a \.gguf file, or a model of the hub/,
  ],
])('what is wrong is one line: %j %s', async (changed, model, code, reason) => {
  const { env } = await startHub();
  const result = await runOctavo(['serve', '--port', '0', '--model', model], {
    ...env,
    ...changed,
  });
  expect(result.stderr).toMatch(reason);
  expect(result.stderr.trimEnd()).not.toContain('\n');
  expect(result.code).toBe(code);
});
