import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { claimPartial, type Owner, THIS_PROCESS } from '../../../engine/hub/partial-file.js';
import { eventually } from '../../support/eventually.js';
import { DATA } from '../../support/hub-models.js';
import { modelDir } from '../../support/model-dir.js';
import { ID, startTestHub } from './test-hub.js';

const { host, pid } = THIS_PROCESS;
const ELSEWHERE: Owner = { host: 'other-4026531836', pid: 1 };
const now = (): Promise<void> => Promise.resolve();

describe('who writes to a partial file', () => {
  it('is told by its name: host, world of process ids, process', () => {
    expect(THIS_PROCESS.pid).toBe(process.pid);
    if (process.platform === 'linux') expect(host).toMatch(/-\d+$/);
    expect(host).toMatch(/^[\w-]+$/);
  });

  it('is one process: others wait while it lives', async () => {
    const blob = join(modelDir({}), 'blob');
    const mine = await claimPartial(blob, THIS_PROCESS, now);
    expect(mine).toBe(`${blob}.${host}.${pid}.incomplete`);
    expect(await claimPartial(blob, { host, pid: pid + 1 }, now)).toBe(null);
    expect(await claimPartial(blob, ELSEWHERE, now)).toBe(null);
  });

  it('is the next one when it is dead: with what is there', async () => {
    const directory = modelDir({});
    const blob = join(directory, 'blob');
    const dead = `${blob}.${host}.${2 ** 22 + 1}.incomplete`;
    writeFileSync(dead, 'half');
    const mine = await claimPartial(blob, THIS_PROCESS, now);
    expect(readdirSync(directory)).toEqual([basename(mine ?? '')]);
    expect(readFileSync(mine ?? '', 'utf8')).toBe('half');
  });

  it('is not known to be dead on another machine, until its file rests for minutes', async () => {
    const blob = join(modelDir({}), 'blob');
    const theirs = await claimPartial(blob, ELSEWHERE, now);
    expect(await claimPartial(blob, THIS_PROCESS, now)).toBe(null);
    const old = new Date(Date.now() - 3 * 60_000);
    utimesSync(theirs ?? '', old, old);
    expect(await claimPartial(blob, THIS_PROCESS, now)).toContain(`.${pid}.incomplete`);
  });

  it('is one of those that begin at the same time', async () => {
    for (let round = 0; round < 50; round++) {
      const blob = join(modelDir({}), 'blob');
      // Each waits for the others, as it does with a pause that is long enough.
      let coming = 4;
      let settled = (): void => undefined;
      const all = new Promise<void>((resolve) => (settled = resolve));
      const begin = async (name: string): Promise<string | null> => {
        let isThere = false;
        const arrive = (): Promise<void> => {
          if (!isThere && --coming === 0) settled();
          isThere = true;
          return all;
        };
        const claimed = await claimPartial(blob, { host: name, pid: 1 }, arrive);
        void arrive();
        return claimed;
      };
      const claims = await Promise.all(['h0', 'h1', 'h2', 'h3'].map(begin));
      expect(claims.filter((claim) => claim !== null).length).toBeLessThanOrEqual(1);
    }
  });

  it('is found by a second download, which then has nothing to do', async () => {
    const test = await startTestHub();
    let release = (): void => undefined;
    test.hub.break(
      /GET hub.*onnx_data/,
      (response, { bytes }) => {
        response.writeHead(200, { 'content-length': bytes.length });
        response.write(bytes.subarray(0, 1000));
        release = () => void response.end(bytes.subarray(1000));
      },
      1,
    );
    const first = test.fetch();
    await eventually(
      () => test.hub.seen(/GET hub.*onnx_data/).length === 1,
      'the first download asks for the data',
    );
    const second = test.fetch({}, { owner: { host, pid: process.ppid } });
    await eventually(() => test.log.length === 1, 'the second download waits');
    expect(test.log).toEqual([`octavo: another process downloads ${DATA}; waiting for it`]);
    release();
    expect(await second).toBe(await first);
    expect(test.hub.seen(/GET hub.*resolve/)).toHaveLength(5);
    expect(readdirSync(join(test.dir, 'blobs')).every((name) => !name.includes('.'))).toBe(true);
  });
});

describe('processes', () => {
  const script = fileURLToPath(new URL('../../support/hub-process.ts', import.meta.url));
  const start = (endpoint: string, cacheDir: string): ReturnType<typeof spawn> =>
    spawn(process.execPath, ['--import', 'tsx', script, ID.repo], {
      env: { PATH: process.env['PATH'], HF_ENDPOINT: endpoint, HF_HUB_CACHE: cacheDir },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  const end = (child: ReturnType<typeof spawn>): Promise<number | null> =>
    new Promise((resolve) => child.once('close', resolve));

  it('three that want the same model at once download it once', async () => {
    const test = await startTestHub();
    const children = [1, 2, 3].map(() => start(test.hub.url, test.settings.cacheDir));
    expect(await Promise.all(children.map(end))).toEqual([0, 0, 0]);
    expect(test.hub.seen(/GET hub.*resolve/)).toHaveLength(5);
    await test.fetch({ offline: true });
  });

  it('one that is killed leaves its part to the next', async () => {
    const test = await startTestHub();
    test.hub.break(
      /GET hub.*onnx_data/,
      (response, { bytes }) => {
        response.writeHead(200, { 'content-length': bytes.length });
        response.write(bytes.subarray(0, 5000));
      },
      1,
    );
    const child = start(test.hub.url, test.settings.cacheDir);
    const blobs = join(test.dir, 'blobs');
    const part = (): string | undefined =>
      readdirSync(blobs).find((name) => name.endsWith('.incomplete'));
    await eventually(() => {
      const name = test.hub.seen(/GET hub.*onnx_data/).length > 0 ? part() : undefined;
      return name !== undefined && readFileSync(join(blobs, name)).length === 5000;
    }, 'half of the data is on the disk');
    child.kill('SIGINT');
    await end(child);
    await test.fetch();
    expect(test.hub.seen(/GET hub.*onnx_data/).at(-1)?.range).toBe('bytes=5000-');
  });
});
