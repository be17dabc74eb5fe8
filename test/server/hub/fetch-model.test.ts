import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { embeddedModelDir } from '../../../server/config/package-root.js';
import { fetchModel } from '../../../server/hub/fetch-model.js';
import type { HubSettings } from '../../../server/hub/hub-settings.js';

const COMMIT = 'c'.repeat(40);
const ONNX = 'onnx/model.onnx';
const NAMES = ['config.json', 'tokenizer.json', 'tokenizer_config.json', ONNX];
const FILES = new Map(NAMES.map((name) => [name, readFileSync(join(embeddedModelDir(), name))]));
const ID = { repo: 'octavo/octavo-tiny', revision: 'main' };

function etagOf(name: string, bytes: Buffer): string {
  if (name === ONNX) return createHash('sha256').update(bytes).digest('hex');
  return createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex');
}

interface Faults {
  /** Connections of the ONNX file that end after half of what is asked for. */
  cuts: number;
  /** A byte of the ONNX file is another than its hash says. */
  damaged: boolean;
}

/** The hub's routes; large files are redirected to storage on another origin. */
async function startHub(faults: Faults): Promise<{ settings: HubSettings; ranges: string[] }> {
  const ranges: string[] = [];
  const server = createServer((request, response) => {
    const url = request.url ?? '';
    if (url === '/api/models/octavo/octavo-tiny/revision/main') {
      const siblings = [...FILES.keys()].map((rfilename) => ({ rfilename }));
      return response.end(JSON.stringify({ sha: COMMIT, siblings }));
    }
    const name = NAMES.find((file) => url.endsWith(`${COMMIT}/${file}`));
    const bytes = name === undefined ? undefined : FILES.get(name);
    if (name === undefined || !bytes) return response.writeHead(404).end();
    const etag = etagOf(name, bytes);
    if (request.method === 'HEAD') {
      return response.writeHead(200, { etag: `"${etag}"`, 'content-length': bytes.length }).end();
    }
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    if (name === ONNX) ranges.push(request.headers.range ?? '');
    const body = Buffer.from(bytes.subarray(from));
    if (name === ONNX && faults.damaged) body[body.length - 1] ^= 1;
    response.writeHead(from > 0 ? 206 : 200, {
      'content-length': body.length,
      ...(from > 0 && { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` }),
    });
    if (name === ONNX && faults.cuts-- > 0) {
      return response.write(body.subarray(0, body.length / 2), () => response.destroy());
    }
    return response.end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const cacheDir = mkdtempSync(join(tmpdir(), 'octavo-hub-'));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
    rmSync(cacheDir, { recursive: true, force: true });
  });
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { settings: { endpoint, token: null, cacheDir, offline: false }, ranges };
}

const OPTIONS = {
  dtype: 'auto' as const,
  observer: { log: () => undefined, progress: () => undefined },
  wait: () => Promise.resolve(),
};

test('a model arrives whole, over connections that are cut, and is there offline', async () => {
  const { settings, ranges } = await startHub({ cuts: 2, damaged: false });
  const dir = await fetchModel(ID, { ...OPTIONS, settings });
  expect(dir.endsWith(join('models--octavo--octavo-tiny', 'snapshots', COMMIT))).toBe(true);
  for (const [name, bytes] of FILES) expect(bytes.equals(readFileSync(join(dir, name)))).toBe(true);
  expect(ranges).toHaveLength(3);
  expect(ranges.slice(1).every((range) => range.startsWith('bytes='))).toBe(true);
  const offline = { ...settings, offline: true };
  expect(await fetchModel(ID, { ...OPTIONS, settings: offline })).toBe(dir);
});

test('a wrong hash is an error, and nothing wrong is kept', async () => {
  const { settings } = await startHub({ cuts: 0, damaged: true });
  await expect(fetchModel(ID, { ...OPTIONS, settings })).rejects.toMatchObject({
    kind: 'hub_download_failed',
    message: expect.stringMatching(/model\.onnx: its content has another hash/) as string,
  });
  await expect(
    fetchModel(ID, { ...OPTIONS, settings: { ...settings, offline: true } }),
  ).rejects.toMatchObject({ kind: 'hub_unreachable' });
});
