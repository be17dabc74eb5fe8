import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { octavoTinyRepository } from '../support/hub-models.js';
import { HubServer } from '../support/hub-server.js';
import { runOctavo, startOctavo } from '../support/octavo-process.js';

const MODEL = 'octavo/octavo-tiny';

it('a model is pulled, listed, shown, removed', async () => {
  const hub = await HubServer.start({ [MODEL]: octavoTinyRepository() });
  const home = mkdtempSync(join(tmpdir(), 'octavo-models-'));
  onTestFinished(() => {
    hub.close();
    rmSync(home, { recursive: true, force: true });
  });
  const env = {
    HF_ENDPOINT: hub.url,
    HF_HOME: home,
    HF_HUB_CACHE: '',
    HF_HUB_OFFLINE: '',
    NO_PROXY: '*',
    no_proxy: '*',
    OCTAVO_MODEL_CACHE_DIR: join(home, 'rewritten'),
  };
  const octavo = (...args: string[]) => runOctavo(args, env);
  expect((await octavo('list')).stderr).toMatch(/^octavo: no models in /);
  expect((await octavo('pull', MODEL)).stdout).toMatch(/\/onnx\/model\.onnx\n$/);
  expect((await octavo('list')).stdout).toMatch(
    /^NAME +FORMAT +SIZE +MODIFIED\noctavo\/octavo-tiny +ONNX fp32 +11 MB +\d{4}-\d\d-\d\d\n$/,
  );
  // Of an entry that an older version has written, the name alone tells the model.
  const [commit] = readdirSync(
    join(home, 'hub', `models--${MODEL.replace('/', '--')}`, 'snapshots'),
  );
  const entry = `${commit}-w8a8-${'0'.repeat(32)}`;
  mkdirSync(join(home, 'rewritten', entry), { recursive: true });
  const manifest = { key: entry, files: [{ size: 5 }], rewrites: [] };
  writeFileSync(join(home, 'rewritten', entry, 'manifest.json'), JSON.stringify(manifest));
  expect((await octavo('list')).stdout).toMatch(
    new RegExp(`\\n${entry} +rewritten, of ${MODEL} +`),
  );
  rmSync(join(home, 'rewritten'), { recursive: true });
  const shown = await octavo('show', MODEL, '--quantize', 'w8a8');
  expect(shown.stdout).toMatch(/parameters +2\.82 million\n/);
  expect(shown.stdout).toMatch(/weights +\d\.\d MB with --quantize w8a8\n/);
  expect(shown.stdout).toMatch(
    /memory +about .* of weights, .* of KV cache, .*: it (may not )?fit/,
  );
  const unsure = await octavo('rm', MODEL);
  expect([unsure.code, unsure.stderr]).toEqual([
    2,
    `octavo: remove ${MODEL} (11 MB)? there is no terminal to ask on: --yes says so\n`,
  ]);
  expect((await octavo('rm', MODEL, '--yes')).stdout).toBe(`removed ${MODEL}: 11 MB are free\n`);
  expect(readdirSync(join(home, 'hub'))).toEqual([]);
  const gone = await octavo('rm', MODEL, '--yes');
  expect([gone.code, gone.stderr]).toEqual([
    2,
    expect.stringMatching(/^octavo: model octavo\/octavo-tiny: must be the name of a model that/),
  ]);
});

it('octavo ps shows the models of a server, and its load', async () => {
  const { url, output } = await startOctavo(['--quantize', 'auto']);
  expect(output).toMatch(/octavo: --quantize auto: none, as 2 million weights are few/);
  const { stdout } = await runOctavo(['ps', '--url', url]);
  expect(stdout).toMatch(
    /^NAME +STATE +CONTEXT\nocta.*loaded +2048\n0 requests running, 0 waiting; 0 of \d+ tokens/,
  );
});
