import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { freePort } from '../../bench/lib/free-port.js';
import { eventually } from '../support/eventually.js';
import { modelDir } from '../support/model-dir.js';
import { canUnshare, childOf } from '../support/namespaces.js';
import { octavo, startOctavo } from '../support/octavo-process.js';

const CLI = fileURLToPath(new URL('../../dist/server/cli.js', import.meta.url));
const PATIENCE = { everyMs: 20 };

const status = async (url: string, path: string): Promise<number | undefined> =>
  (await fetch(url + path).catch(() => null))?.status;

/** All that comes out of a process, as it comes. */
function collect(child: ChildProcess): { stdout: string; stderr: string } {
  const output = { stdout: '', stderr: '' };
  child.stdout?.on('data', (chunk: Buffer) => (output.stdout += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (output.stderr += chunk.toString()));
  return output;
}

function start(command: string, args: readonly string[]): ChildProcess {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

describe('the log cannot be written', () => {
  it('its reader goes away: the server stays, and says so once on stderr', async () => {
    const { child, url } = await startOctavo();
    const output = collect(child);
    child.stdout?.destroy();
    for (let i = 0; i < 3; i++) expect(await status(url, '/v1/models')).toBe(200);
    await eventually(() => output.stderr !== '', 'the complaint');
    expect(output.stderr).toBe('octavo: the log cannot be written: write EPIPE\n');
    child.stderr?.destroy();
    expect(await status(url, '/v1/models')).toBe(200);
    child.kill('SIGTERM');
    expect(await once(child, 'close')).toEqual([0, null]);
  });

  it('its disk is full: the server stays', async () => {
    const port = await freePort();
    const script = `exec "$0" "$1" serve --port ${port} > /dev/full`;
    const child = start('sh', ['-c', script, process.execPath, CLI]);
    const output = collect(child);
    const health = (): Promise<number | undefined> => status(`http://127.0.0.1:${port}`, '/health');
    await eventually(async () => (await health()) === 200, 'it serves', PATIENCE);
    await eventually(() => output.stderr !== '', 'the complaint');
    expect(output.stderr).toMatch(/^octavo: the log cannot be written: ENOSPC[^\n]*\n$/);
    child.kill('SIGTERM');
    expect(await once(child, 'close')).toEqual([0, null]);
  });

  it('a reader who has enough ends octavo generate, without a word', async () => {
    const child = octavo(['generate', 'Tell me a story.', '--max-tokens', '1500']);
    const output = collect(child);
    await once(child.stdout as NodeJS.ReadableStream, 'data');
    child.stdout?.destroy();
    expect(await once(child, 'close')).toEqual([141, null]);
    expect(output.stderr).toBe('');
  });
});

describe('SIGTERM while the model is loaded', () => {
  it.each([200, 450, 700, 950])(
    'after %i ms: the process ends at once, by the signal',
    async (ms) => {
      const child = octavo(['serve', '--port', '0']);
      const output = collect(child);
      await new Promise((resolve) => setTimeout(resolve, ms));
      child.kill('SIGTERM');
      const ended = await once(child, 'close');
      // A fast machine may serve by then, and drains.
      expect(ended).toEqual(output.stdout.includes('serving') ? [0, null] : [null, 'SIGTERM']);
      expect(output.stderr).toBe('');
    },
  );
});

describe.skipIf(!canUnshare())('in namespaces of its own', () => {
  const asFirst = async (): Promise<{ child: ChildProcess; pid: number; url: string }> => {
    const serve = [process.execPath, CLI, 'serve', '--port', '0'];
    const child = start('unshare', ['-rpf', '--mount-proc', '--kill-child', ...serve]);
    const output = collect(child);
    const pid = await childOf(child.pid ?? 0);
    await eventually(() => output.stdout.includes('serving'), 'it serves', PATIENCE);
    return { child, pid, url: /http:\/\/[\d.:]+/.exec(output.stdout)?.[0] ?? '' };
  };

  it('as the first process, as in a container: SIGTERM drains, the exit code is 0', async () => {
    const { child, pid } = await asFirst();
    process.kill(pid, 'SIGTERM');
    expect(await once(child, 'close')).toEqual([0, null]);
  });

  it('as the first process: a second signal ends it at once', async () => {
    const { child, pid, url } = await asFirst();
    const body = { prompt: 'Once', max_tokens: 1900, ignore_eos: true, stream: true };
    const stream = await fetch(`${url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    const rest = stream.text().catch((error: Error) => error);
    process.kill(pid, 'SIGTERM');
    await eventually(async () => (await status(url, '/health')) === 503, 'it drains', PATIENCE);
    process.kill(pid, 'SIGTERM');
    expect(await once(child, 'close')).toEqual([143, null]);
    // Cut off, or told why: never a whole answer.
    const end = await rest;
    expect(end instanceof Error || end.includes('"code":"draining"')).toBe(true);
  });

  it('the disk of the model cache is full: one line, and nothing is left on it', async () => {
    const dir = modelDir({});
    const serve = '"$0" "$1" serve --port 0 --quantize w8a8 --model-cache-dir "$2"';
    const script = `mount -t tmpfs -o size=1m tmpfs "$2" && { ${serve}; code=$?; find "$2" -type f; exit $code; }`;
    const child = start('unshare', ['-rm', 'sh', '-c', script, process.execPath, CLI, dir]);
    const output = collect(child);
    expect(await once(child, 'close')).toEqual([1, null]);
    // One line. What `find` prints of files left behind would be others; hashes of the model's
    // files may stay, and one that was being written when the process ended.
    expect(output.stderr).toMatch(
      /^octavo: the rewritten model .* cannot be kept in .*: the disk is full; .*\n$/,
    );
    expect(output.stdout).not.toMatch(/^(?!\{|.*\/content-hashes\/\w+\.json(\.\d+)?$)./m);
  });
});
