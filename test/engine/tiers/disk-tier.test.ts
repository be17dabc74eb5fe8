import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { DiskTier } from '../../../engine/tiers/disk-tier.js';
import { fileName } from '../../../engine/tiers/file-name.js';
import { ThreadedTier } from '../../../engine/tiers/threaded-tier.js';
import { HEAD_BYTES } from '../../../engine/tiers/tier-record.js';
import {
  describeBlockTier,
  loadOne,
  TEST_BLOCK_BYTES,
  TEST_CAPACITY,
  testContent,
  testKey,
} from '../../conformance/block-tier.js';

const FILE_BYTES = HEAD_BYTES + TEST_BLOCK_BYTES;
const NAMESPACE = 'a'.repeat(32);
const OTHER = 'b'.repeat(32);

interface Started {
  readonly directory: string;
  readonly namespace: string;
  readonly capacity: number;
  readonly lines: string[];
  /** Milliseconds. */
  time: number;
}

const newDirectory = (): string => mkdtempSync(join(tmpdir(), 'octavo-tier-'));

const started = (more: Partial<Started> = {}): Started => ({
  directory: newDirectory(),
  namespace: NAMESPACE,
  capacity: TEST_CAPACITY,
  lines: [],
  time: 0,
  ...more,
});

const open = (at: Started): Promise<DiskTier> =>
  DiskTier.open({
    directory: at.directory,
    capacityBytes: at.capacity * FILE_BYTES + 7,
    bytesPerBlock: TEST_BLOCK_BYTES,
    namespace: at.namespace,
    now: () => at.time,
    log: (line) => void at.lines.push(line),
  });

const pathOf = (at: Started, n: number): string => {
  const name = fileName(testKey(n));
  return join(at.directory, at.namespace, name.slice(0, 2), name);
};

const allFiles = (directory: string): string[] =>
  readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));

describeBlockTier('files', () => open(started()));
describeBlockTier('files, in a thread', () =>
  ThreadedTier.start(
    {
      kind: 'disk',
      directory: newDirectory(),
      capacityBytes: TEST_CAPACITY * FILE_BYTES,
      bytesPerBlock: TEST_BLOCK_BYTES,
      namespace: NAMESPACE,
    },
    () => undefined,
  ),
);

describe('files', () => {
  it('outlive the process, for their owner alone', async () => {
    const at = started();
    const first = await open(at);
    await first.store([testKey(1), testKey(2)], [testContent(1), testContent(2)]);
    await first.close();
    for (const file of allFiles(at.directory)) {
      expect([statSync(file).mode & 0o777, statSync(dirname(file)).mode & 0o777]).toEqual([
        0o600, 0o700,
      ]);
    }
    const second = await open(at);
    expect(second.stats.blocks).toBe(2);
    expect(await loadOne(second, testKey(2))).toEqual(testContent(2));
  });

  const damages: [string, (bytes: Buffer) => Buffer][] = [
    ['truncated', (bytes) => bytes.subarray(0, bytes.length - 1)],
    ['empty', () => Buffer.alloc(0)],
    ['with one bit wrong in the content', (bytes) => ((bytes[HEAD_BYTES + 500] ^= 4), bytes)],
    ['with one bit wrong in the last byte', (bytes) => ((bytes[bytes.length - 1] ^= 0x80), bytes)],
    ['with one bit wrong in the digest', (bytes) => ((bytes[20] ^= 1), bytes)],
    ['of a later version', (bytes) => ((bytes[7] = 9), bytes)],
    ['of zeros', (bytes) => bytes.fill(0)],
  ];
  it.each(damages)('a file %s is a miss, and goes', async (_name, damage) => {
    const at = started();
    const tier = await open(at);
    await tier.store([testKey(1)], [testContent(1)]);
    writeFileSync(pathOf(at, 1), damage(readFileSync(pathOf(at, 1))));
    expect(await loadOne(tier, testKey(1))).toBeNull();
    expect(tier.stats).toMatchObject({ failed: 1, blocks: 0, isUp: true });
    expect(allFiles(at.directory)).toEqual([]);
    expect(await tier.store([testKey(1)], [testContent(1)])).toEqual([true]);
    expect(await loadOne(tier, testKey(1))).toEqual(testContent(1));
  });

  it('of another content, in its place, are a miss', async () => {
    const at = started();
    const tier = await open(at);
    await tier.store([testKey(1), testKey(2)], [testContent(1), testContent(2)]);
    writeFileSync(pathOf(at, 1), readFileSync(pathOf(at, 2)));
    expect(await loadOne(tier, testKey(1))).toBeNull();
    expect(await loadOne(tier, testKey(2))).toEqual(testContent(2));
  });

  it('of another model are never found, not even under its name', async () => {
    const at = started();
    const tier = await open(at);
    await tier.store([testKey(1)], [testContent(1)]);
    const other = { ...at, namespace: OTHER };
    const foreign = await open(other);
    expect(foreign.has([testKey(1)])).toEqual([false]);
    mkdirSync(dirname(pathOf(other, 1)), { recursive: true });
    writeFileSync(pathOf(other, 1), readFileSync(pathOf(at, 1)));
    expect(await loadOne(await open(other), testKey(1))).toBeNull();
  });

  it('that another process has removed are a miss', async () => {
    const at = started();
    const tier = await open(at);
    await tier.store([testKey(1)], [testContent(1)]);
    rmSync(pathOf(at, 1));
    expect(tier.has([testKey(1)])).toEqual([true]);
    expect(await loadOne(tier, testKey(1))).toBeNull();
    expect(tier.has([testKey(1)])).toEqual([false]);
  });

  it('of other models make room first, the oldest first, and other files stay', async () => {
    const at = started();
    const foreign = await open({ ...at, namespace: OTHER });
    for (const n of [1, 2, 3]) await foreign.store([testKey(n)], [testContent(n)]);
    utimesSync(pathOf({ ...at, namespace: OTHER }, 2), 1000, 1000);
    writeFileSync(join(at.directory, 'notes.txt'), 'mine');
    mkdirSync(join(at.directory, NAMESPACE, 'ab'), { recursive: true });
    writeFileSync(join(at.directory, NAMESPACE, 'ab', 'notes.txt'), 'mine');
    const tier = await open(at);
    for (let n = 0; n < TEST_CAPACITY - 2; n++) await tier.store([testKey(n)], [testContent(n)]);
    expect(
      (await open({ ...at, namespace: OTHER })).has([testKey(1), testKey(2), testKey(3)]),
    ).toEqual([true, false, true]);
    for (let n = 0; n < TEST_CAPACITY; n++) await tier.store([testKey(n)], [testContent(n)]);
    expect(tier.stats.blocks).toBe(TEST_CAPACITY);
    expect(allFiles(at.directory).length).toBe(TEST_CAPACITY + 2);
  });

  it('are given up in the order of their last use, across a restart', async () => {
    const at = started();
    const tier = await open(at);
    for (let n = 0; n < TEST_CAPACITY; n++) {
      await tier.store([testKey(n)], [testContent(n)]);
      utimesSync(pathOf(at, n), 1000 + n, 1000 + n);
    }
    await loadOne(tier, testKey(0));
    await expect.poll(() => statSync(pathOf(at, 0)).mtimeMs).toBeGreaterThan(1e12);
    const later = await open({ ...at, capacity: 2 });
    expect(later.has([testKey(0), testKey(TEST_CAPACITY - 1), testKey(1)])).toEqual([
      true,
      true,
      false,
    ]);
    expect(allFiles(at.directory).length).toBe(2);
  });

  it('that a dead process has left half written go, those of a living one stay', async () => {
    const at = started();
    mkdirSync(join(at.directory, NAMESPACE));
    const [old, young] = ['.1-0.part', '.2-0.part'].map((name) =>
      join(at.directory, NAMESPACE, name),
    );
    for (const path of [old, young]) writeFileSync(path, 'half');
    utimesSync(old, 1000, 1000);
    await open(at);
    expect(allFiles(at.directory)).toEqual([young]);
  });

  // As root, permissions do not stop a write: a file in the place of the directory does.
  it('that cannot be written are left alone for a while, after one line in the log', async () => {
    const at = started();
    const tier = await open(at);
    const root = join(at.directory, NAMESPACE);
    writeFileSync(root, 'in the way');
    for (let n = 0; n < 6; n++)
      expect(await tier.store([testKey(n)], [testContent(n)])).toEqual([false]);
    expect(at.lines).toEqual([
      expect.stringMatching(/^--kv-cache-dir \S+ is left alone, tried again every 30 s: E/),
    ]);
    expect(tier.stats).toMatchObject({ isUp: false, blocks: 0, dropped: 6 });
    rmSync(root);
    expect(await tier.store([testKey(1)], [testContent(1)])).toEqual([false]);
    at.time += 30_000;
    expect(await tier.store([testKey(1)], [testContent(1)])).toEqual([true]);
    expect(at.lines[1]).toMatch('works again');
    expect(await loadOne(tier, testKey(1))).toEqual(testContent(1));
    chmodSync(at.directory, 0o700);
  });
});
