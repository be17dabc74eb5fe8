import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { COMMIT, DATA, smallRepository } from '../../support/hub-models.js';
import { type Fault, send } from '../../support/hub-server.js';
import { failureOf, ID, startTestHub, type TestHub } from './test-hub.js';

const NEEDED = ['config.json', 'tokenizer.json', 'tokenizer_config.json', 'onnx/model.onnx', DATA];

/** Half of what is asked for; the connection ends when that is on the other side's disk. */
function cutHalfway({ dir }: TestHub): Fault {
  return (response, { bytes, from }) => {
    const rest = bytes.subarray(from);
    const half = Math.floor(rest.length / 2);
    response.writeHead(from > 0 ? 206 : 200, {
      'content-length': rest.length,
      ...(from > 0 && { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` }),
    });
    response.write(rest.subarray(0, half));
    const end = setInterval(() => {
      if (partialOf(dir).size !== from + half) return;
      clearInterval(end);
      response.destroy();
    }, 2);
  };
}

const hangUp: Fault = (response) => void response.destroy();

const answer = (status: number, headers: () => Record<string, string> = () => ({})): Fault => {
  return (response) => void response.writeHead(status, headers()).end();
};

/** What is there of a file that is not all there. */
function partialOf(dir: string): { readonly path: string; readonly size: number } {
  const blobs = join(dir, 'blobs');
  const path = join(blobs, readdirSync(blobs).find((name) => name.endsWith('.incomplete')) ?? '');
  return { path, size: statSync(path).size };
}

/**
 * A cache in which the data file is all that is missing; its partial file has the given content.
 */
async function almostThere(test: TestHub, content: (data: Buffer) => Buffer): Promise<void> {
  test.hub.break(/GET hub.*onnx_data/, hangUp, 5);
  await failureOf(test.fetch());
  writeFileSync(partialOf(test.dir).path, content(dataOf(test)));
  test.hub.requests.length = 0;
}

const dataOf = ({ repository }: TestHub): Buffer => repository.files.get(DATA) ?? Buffer.alloc(0);

/** What was asked for of the data file, by its first byte. */
const rangesOf = ({ hub }: TestHub): (string | null)[] =>
  hub.seen(/GET hub.*onnx_data/).map(({ range }) => range);

function expectWhole({ repository }: TestHub, snapshot: string): void {
  for (const name of NEEDED) {
    expect(repository.files.get(name)?.equals(readFileSync(join(snapshot, name)))).toBe(true);
  }
}

describe('a model of the hub', () => {
  it("lies in the cache as the hub's own tools lay it: blobs, snapshots, refs; only what is needed", async () => {
    const test = await startTestHub();
    const snapshot = await test.fetch();
    expect(snapshot).toBe(join(test.dir, 'snapshots', COMMIT));
    expectWhole(test, snapshot);
    const links = readdirSync(snapshot, { recursive: true })
      .map(String)
      .filter((name) => {
        return lstatSync(join(snapshot, name)).isSymbolicLink();
      });
    expect(links.sort()).toEqual([...NEEDED].sort());
    for (const name of links) {
      const up = '../'.repeat(name.split('/').length + 1);
      expect(readlinkSync(join(snapshot, name))).toMatch(
        new RegExp(`^${up}blobs/[0-9a-f]{${name.startsWith('onnx') ? 64 : 40}}$`),
      );
    }
    expect(readFileSync(join(test.dir, 'refs', 'main'), 'utf8')).toBe(COMMIT);
    expect(readdirSync(test.dir).sort()).toEqual(['blobs', 'refs', 'snapshots']);
    expect(readdirSync(join(test.dir, 'blobs'))).toHaveLength(NEEDED.length);
  });

  it('may have a genai_config.json instead of a config.json, and templates of its own', async () => {
    const repository = smallRepository();
    const files = new Map(repository.files);
    files.delete('config.json');
    const template = 'additional_chat_templates/rag.jinja';
    for (const name of ['genai_config.json', template, 'notes.jinja']) {
      files.set(name, Buffer.from('{}'));
    }
    const test = await startTestHub({ ...repository, files });
    const snapshot = await test.fetch();
    expect(readFileSync(join(snapshot, 'genai_config.json'), 'utf8')).toBe('{}');
    expect(readFileSync(join(snapshot, template), 'utf8')).toBe('{}');
    expect(readdirSync(snapshot)).not.toContain('notes.jinja');
    expect(await test.fetch({ offline: true })).toBe(snapshot);
  });

  it('of text and images comes in parts, with how its images become pixels', async () => {
    const repository = smallRepository();
    const decoder = repository.files.get('onnx/model.onnx') ?? Buffer.alloc(0);
    const files = new Map(repository.files);
    files.delete('onnx/model.onnx');
    const parts = ['decoder_model_merged_q4', 'embed_tokens_q4', 'vision_encoder'];
    for (const name of [...parts, 'embed_tokens']) files.set(`onnx/${name}.onnx`, decoder);
    files.set('preprocessor_config.json', Buffer.from('{}'));
    files.delete('onnx/model_q4.onnx');
    const test = await startTestHub({ ...repository, files });
    const snapshot = await test.fetch();
    const names = readdirSync(join(snapshot, 'onnx')).sort();
    expect(names).toEqual([...parts.map((name) => `${name}.onnx`), 'model.onnx_data'].sort());
    expect(readdirSync(snapshot)).toContain('preprocessor_config.json');
    expect(await test.fetch({ offline: true })).toBe(snapshot);
  });

  it('is asked for once on a second start, and downloaded never again; offline not even that', async () => {
    const test = await startTestHub();
    const snapshot = await test.fetch();
    test.hub.requests.length = 0;
    expect(await test.fetch()).toBe(snapshot);
    expect(test.hub.requests).toMatchObject([
      { method: 'GET', url: expect.stringMatching(/revision\/main\?blobs=true$/) as string },
    ]);
    test.hub.requests.length = 0;
    expect(await test.fetch({ offline: true })).toBe(snapshot);
    expect(test.hub.requests).toEqual([]);
  });

  it('is taken at a branch, a tag, a pull request or a commit', async () => {
    const test = await startTestHub({
      ...smallRepository(),
      revisions: ['main', 'v1.0', 'refs/pr/3'],
    });
    for (const revision of ['v1.0', 'refs/pr/3', COMMIT]) {
      const id = { ...ID, revision };
      expect(basename(await test.fetch({}, {}, id))).toBe(COMMIT);
      await test.fetch({ offline: true }, {}, id);
    }
    expect(readFileSync(join(test.dir, 'refs', 'refs', 'pr', '3'), 'utf8')).toBe(COMMIT);
  });

  it('that has a new commit is downloaded where it changed', async () => {
    const test = await startTestHub();
    await test.fetch();
    const { files } = test.repository;
    const commit = 'd'.repeat(40);
    const newer = await startTestHub({
      commit,
      files: new Map([...files, ['config.json', Buffer.from('{"new":1}')]]),
    });
    const snapshot = await newer.fetch({ cacheDir: test.settings.cacheDir });
    expect(basename(snapshot)).toBe(commit);
    expect(readFileSync(join(snapshot, 'config.json'), 'utf8')).toBe('{"new":1}');
    expect(newer.hub.seen(/^GET .*resolve/).map(({ url }) => basename(url))).toEqual([
      'config.json',
    ]);
    expect(basename(await test.fetch({ offline: true }))).toBe(commit);
  });

  it('is served from the cache, with a line that says so, when the hub does not answer: one attempt', async () => {
    const test = await startTestHub();
    const snapshot = await test.fetch();
    test.hub.close();
    test.waits.length = 0;
    expect(await test.fetch()).toBe(snapshot);
    expect(test.waits).toEqual([]);
    expect(test.log).toEqual([
      expect.stringMatching(
        /gives no answer after one attempt: .*; using octavo\/small as it is in the cache/,
      ),
    ]);
  });

  it('that is not in the cache is an error offline', async () => {
    const test = await startTestHub();
    const { kind, message } = await failureOf(test.fetch({ offline: true }));
    expect(kind).toBe('hub_unreachable');
    expect(message).toMatch(
      /HF_HUB_OFFLINE is set, and octavo\/small@main is not in the cache \(.*models--octavo--small\)/,
    );
  });

  it('that is half in the cache is an error offline, and which files it lacks', async () => {
    const test = await startTestHub();
    const snapshot = join(test.dir, 'snapshots', COMMIT);
    mkdirSync(join(test.dir, 'refs'), { recursive: true });
    mkdirSync(snapshot, { recursive: true });
    writeFileSync(join(test.dir, 'refs', 'main'), COMMIT);
    writeFileSync(join(snapshot, 'config.json'), '{}');
    symlinkSync('../../blobs/gone', join(snapshot, 'tokenizer.json'));
    const { message } = await failureOf(test.fetch({ offline: true }));
    expect(message).toMatch(
      /the cache lacks tokenizer\.json, tokenizer_config\.json, an ONNX model, safetensors or a GGUF file \(.*snapshots\/c0ffee/,
    );
    expectWhole(test, await test.fetch());
  });
});

describe('a download', () => {
  it('goes on behind what came over connections that were cut', async () => {
    const test = await startTestHub();
    test.hub.break(/GET cdn/, cutHalfway(test), 3);
    expectWhole(test, await test.fetch());
    const sent = test.hub.seen(/GET cdn/).map(({ range }) => range !== null);
    expect(sent.filter((isRest) => isRest)).toHaveLength(3);
  });

  it('goes on in the next process, where the last gave up', async () => {
    const test = await startTestHub();
    test.hub.break(/GET hub.*onnx_data/, cutHalfway(test), 1);
    test.hub.break(/GET hub.*onnx_data/, hangUp, 5);
    const { kind, message } = await failureOf(test.fetch());
    const size = dataOf(test).length;
    expect(kind).toBe('hub_unreachable');
    expect(message).toContain(`onnx_data: the download stops at ${size / 2} of ${size} bytes: `);
    expect(message).toMatch(/; start again to go on from there$/);
    test.hub.requests.length = 0;
    expectWhole(test, await test.fetch());
    expect(rangesOf(test)).toEqual([`bytes=${size / 2}-`]);
    // What was there before is not asked for again.
    expect(test.hub.seen(/resolve/)).toHaveLength(2);
  });

  it('begins again where the server knows no ranges', async () => {
    const test = await startTestHub();
    test.hub.break(/GET hub.*onnx_data/, cutHalfway(test), 1);
    test.hub.break(/GET cdn/, (response, { bytes }) => send(response, bytes, 0));
    expectWhole(test, await test.fetch());
    expect(rangesOf(test)).toEqual([null, `bytes=${dataOf(test).length / 2}-`]);
  });

  it('gives up when five connections in a row bring nothing that was not there before', async () => {
    const test = await startTestHub();
    // No ranges, and every connection is cut at the same place.
    test.hub.break(/GET hub.*onnx_data/, (response, { bytes }) => {
      cutHalfway(test)(response, { bytes, from: 0 });
    });
    expect((await failureOf(test.fetch())).kind).toBe('hub_unreachable');
    expect(rangesOf(test)).toHaveLength(6);
  });

  it('that is all there already is only verified', async () => {
    const test = await startTestHub();
    await almostThere(test, (data) => data);
    expectWhole(test, await test.fetch());
    expect(rangesOf(test)).toEqual([]);
  });

  it.each([
    ['another content of the same length', (data: Buffer) => Buffer.alloc(data.length, 7)],
    ['more than there is', (data: Buffer) => Buffer.concat([data, data])],
    ["a beginning that is not the file's", () => Buffer.alloc(1000, 7)],
  ])('that finds %s begins again', async (_, content) => {
    const test = await startTestHub();
    await almostThere(test, content);
    expectWhole(test, await test.fetch());
    expect(rangesOf(test).at(-1)).toBe(null);
  });

  it('begins again when the server has nothing behind what is there: 416', async () => {
    const test = await startTestHub();
    await almostThere(test, (data) => data.subarray(0, 1000));
    test.hub.break(/GET cdn/, answer(416), 1);
    expectWhole(test, await test.fetch());
    expect(rangesOf(test)).toEqual(['bytes=1000-', null]);
  });

  it('keeps nothing of a file with another hash', async () => {
    const test = await startTestHub();
    test.hub.break(/GET cdn/, (response, { bytes, from }) => {
      const wrong = Buffer.from(bytes);
      wrong[wrong.length - 1] ^= 1;
      send(response, wrong, from);
    });
    const { kind, message } = await failureOf(test.fetch());
    expect(kind).toBe('hub_download_failed');
    expect(message).toMatch(
      /model\.onnx: its content has another hash than the hub says \([0-9a-f]{64}\)/,
    );
    expect(readdirSync(join(test.dir, 'blobs')).every((name) => /^[0-9a-f]{40}$/.test(name))).toBe(
      true,
    );
    expect((await failureOf(test.fetch({ offline: true }))).kind).toBe('hub_unreachable');
  });

  it.each([
    [
      'fewer bytes',
      (bytes: Buffer) => bytes.subarray(1),
      /the hub says \d+ bytes, but sends \d+ bytes from byte 0/,
    ],
    [
      'more bytes',
      (bytes: Buffer) => Buffer.concat([bytes, Buffer.from('x')]),
      /but sends \d+ bytes from byte 0/,
    ],
  ])('ends with a line when the server sends %s than it says', async (_, change, reason) => {
    const test = await startTestHub();
    test.hub.break(/GET cdn/, (response, { bytes }) => send(response, change(bytes), 0));
    const { kind, message } = await failureOf(test.fetch());
    expect(kind).toBe('hub_download_failed');
    expect(message).toMatch(reason);
  });

  it('stops at the size that the hub says when nobody says where the body ends', async () => {
    const test = await startTestHub();
    test.hub.break(/GET cdn/, (response, { bytes }) => {
      response.writeHead(200, { 'transfer-encoding': 'chunked' });
      response.end(Buffer.concat([bytes, Buffer.alloc(100)]));
    });
    expect((await failureOf(test.fetch())).message).toMatch(
      /the hub says \d+ bytes, but sends more/,
    );
  });

  it.each([
    ['429 with seconds', 429, () => ({ 'retry-after': '7' }), 7000],
    [
      '503 with a date',
      503,
      () => ({ 'retry-after': new Date(Date.now() + 40_000).toUTCString() }),
      // A busy machine asks a while later.
      10_000,
    ],
    ["429 with the hub's rate limit", 429, () => ({ ratelimit: '"resolvers";r=0;t=11' }), 11_000],
    ['500', 500, () => ({}), 500],
  ])('waits as long as the server asks: %s', async (_, status, headers, least) => {
    const test = await startTestHub();
    const fault = answer(status, headers);
    test.hub.break(/GET hub\/api/, fault, 1);
    test.hub.break(/HEAD hub.*config/, fault, 1);
    test.hub.break(/GET cdn/, fault, 1);
    expectWhole(test, await test.fetch());
    const long = test.waits.filter((ms) => ms >= least);
    expect(long.length).toBeGreaterThanOrEqual(3);
    expect(Math.max(...test.waits)).toBeLessThan(least + 31_000);
  });

  it('does not wait for a server that asks for more than a minute', async () => {
    const test = await startTestHub();
    const busy = answer(429, () => ({ 'retry-after': '300' }));
    test.hub.break(/GET cdn/, busy);
    const { kind, message } = await failureOf(test.fetch());
    expect(kind).toBe('hub_unreachable');
    expect(message).toMatch(/status 429 from http:\/\/localhost:\d+, and asks to wait 300 s/);
    expect(test.waits).toEqual([]);
    test.hub.break(/GET hub\/api/, busy);
    expect((await failureOf(test.fetch())).message).toMatch(
      /after one attempt: status 429; it asks to wait 300 s/,
    );
  });

  it('gives up a hub that never answers well after five attempts', async () => {
    const test = await startTestHub();
    test.hub.break(/GET hub\/api/, answer(502));
    expect((await failureOf(test.fetch())).message).toMatch(
      /gives no answer after 5 attempts: status 502/,
    );
    expect(test.hub.requests).toHaveLength(5);
  });

  it('ends silence, and goes on', async () => {
    const test = await startTestHub();
    test.hub.break(
      /GET cdn/,
      (response, { bytes }) => {
        response.writeHead(200, { 'content-length': bytes.length });
        response.write(bytes.subarray(0, 100));
      },
      1,
    );
    expectWhole(test, await test.fetch({}, { silenceMs: 300 }));
    expect(test.hub.seen(/GET cdn/)[1].range).toBe('bytes=100-');
  });

  it('says what is in the way when the disk is too small for it', async () => {
    const test = await startTestHub();
    test.hub.break(/HEAD hub.*onnx_data/, (response) => {
      response.writeHead(302, {
        location: test.hub.cdnUrl,
        'x-linked-size': String(2 ** 52),
        'x-linked-etag': `"${'a'.repeat(64)}"`,
      });
      response.end();
    });
    const { kind, message } = await failureOf(test.fetch());
    expect(kind).toBe('hub_download_failed');
    expect(message).toMatch(
      /blobs: the disk is full \(4503599627370496 bytes more are needed\); free some space/,
    );
  });

  it('says what is in the way when the cache cannot be made', async () => {
    const test = await startTestHub();
    const file = join(test.settings.cacheDir, 'file');
    writeFileSync(file, '');
    const { message } = await failureOf(test.fetch({ cacheDir: join(file, 'hub') }));
    expect(message).toMatch(
      /^the cache cannot be written: ENOTDIR.*; HF_HUB_CACHE or HF_HOME name another$/,
    );
  });
});

describe('external data with a name that leads out of the directory', () => {
  it.each(['../config.json', '/etc/passwd', 'a/../../secret', '..\\secret'])(
    'is refused: %s',
    async (name) => {
      const test = await startTestHub(smallRepository(name));
      const { kind, message } = await failureOf(test.fetch());
      expect(kind).toBe('model_file_corrupt');
      expect(message).toContain(
        `model.onnx: its external data ${JSON.stringify(name)} lies outside`,
      );
    },
  );

  it('that the repository does not have is missed by name', async () => {
    const test = await startTestHub(smallRepository('other.bin'));
    const { kind, message } = await failureOf(test.fetch());
    expect(kind).toBe('model_file_missing');
    expect(message).toContain('onnx/model.onnx has its weights in onnx/other.bin, which is not in');
    expect(dirname(test.dir)).toBe(test.settings.cacheDir);
  });
});
