import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { lockDirectory } from '../../../server/batch/directory-lock.js';
import { modelDir } from '../../support/model-dir.js';
import { ScriptedEngine } from '../../support/scripted-engine.js';
import { startTestServer, stopTestServers } from '../../support/test-server.js';

afterEach(stopTestServers);

const REFUSED = /^--batch-dir .*: another server has it: each needs one of its own$/;

/** Listens in a directory as another server does, until it is killed. */
async function killedServer(directory: string): Promise<void> {
  const path = join(directory, 'server.sock');
  const program = `require('net').createServer().listen(${JSON.stringify(path)}, () => console.log('it listens'))`;
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  child.kill('SIGKILL');
  await once(child, 'close');
}

test('a directory is one server’s, until that gives it back', async () => {
  const directory = join(modelDir({}), 'batches');
  const unlock = await lockDirectory(directory);
  await expect(lockDirectory(directory)).rejects.toThrow(REFUSED);
  await unlock();
  await (await lockDirectory(directory))();
});

test('what a killed server has left is taken by one of those that start', async () => {
  const directory = modelDir({});
  await killedServer(directory);
  expect(existsSync(join(directory, 'server.sock'))).toBe(true);
  const starts = await Promise.allSettled([1, 2].map(() => lockDirectory(directory)));
  const taken = starts.filter(({ status }) => status === 'fulfilled');
  expect(taken).toHaveLength(1);
  await expect(lockDirectory(directory)).rejects.toThrow(REFUSED);
  expect(readdirSync(directory)).toEqual(['server.sock']);
  for (const start of starts) if (start.status === 'fulfilled') await start.value();
});

test('a directory that cannot be used is refused by its own name', async () => {
  const deep = join(modelDir({}), 'x'.repeat(120));
  await expect(lockDirectory(deep)).rejects.toThrow(/its path is too long: with server.sock/);
  const file = join(modelDir({ file: '' }), 'file');
  chmodSync(file, 0o600);
  await expect(lockDirectory(file)).rejects.toThrow(/: cannot be used \(EEXIST\)$/);
});

test('a second server on the directory does not start, and leaves it as it is', async () => {
  const engine = new ScriptedEngine(() => ({ steps: [], finish: null }));
  const settings = { batchDir: modelDir({}) };
  const { url } = await startTestServer(engine, { settings });
  await expect(startTestServer(engine, { settings })).rejects.toThrow(REFUSED);
  expect((await fetch(`${url}/v1/batches`)).status).toBe(200);
});
