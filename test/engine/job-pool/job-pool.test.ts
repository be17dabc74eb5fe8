import { afterEach, describe, expect, test } from 'vitest';
import { OctavoError } from '../../../engine/errors.js';
import { JobPool, type JobPoolOptions } from '../../../engine/job-pool/job-pool.js';
import type { TestJob } from '../../support/test-jobs.js';

const pools: JobPool<TestJob, string>[] = [];
afterEach(async () => {
  await Promise.all(pools.splice(0).map((pool) => pool.close()));
});

function start(options: Partial<JobPoolOptions> = {}): JobPool<TestJob, string> {
  const program = {
    file: new URL('../../support/test-jobs.js', import.meta.url),
    maxHeapMb: 32,
    does: 'tests jobs',
    tooLarge: ({ does }: TestJob, budget: string, sizes: string) =>
      new OctavoError('invalid_request', `${does} takes more than ${budget}: ${sizes}`),
  };
  const pool = new JobPool<TestJob, string>(program, {
    maxThreads: 2,
    budgetMs: 60_000,
    ...options,
  });
  pools.push(pool);
  return pool;
}

const never = new AbortController().signal;
const of = (client: string, signal = never) => ({ client, signal });
const echo = (text: string): TestJob => ({ does: 'echo', text });
const spin = (ms: number): TestJob => ({ does: 'spin', ms });
const LONG = spin(60_000);

describe('JobPool', () => {
  test('starts no thread before the first job, and keeps it', async () => {
    const pool = start();
    expect(pool.threads).toBe(0);
    expect(await pool.run(echo('a'), of('x'))).toBe('a');
    expect(await pool.run(echo('b'), of('x'))).toBe('b');
    expect(pool.threads).toBe(1);
  });

  test('passes on what a job refuses, and a bug as such; the thread goes on', async () => {
    const pool = start({ maxThreads: 1 });
    await expect(pool.run({ does: 'refuse' }, of(''))).rejects.toMatchObject({
      kind: 'invalid_request',
      message: 'the job is refused',
      param: 'job',
    });
    await expect(pool.run({ does: 'throw' }, of(''))).rejects.toMatchObject({
      kind: 'internal',
      message: 'a bug',
    });
    expect(await pool.run(echo('on'), of(''))).toBe('on');
  });

  test('ends a thread whose job takes too long or too much memory, and replaces it', async () => {
    const pool = start({ maxThreads: 1, budgetMs: 500 });
    await expect(pool.run(LONG, of(''))).rejects.toThrow(
      'spin takes more than 0.5 s: 60000 ms of work',
    );
    expect(await pool.run(echo('next'), of(''))).toBe('next');
    const patient = start({ maxThreads: 1 });
    await expect(patient.run({ does: 'fill' }, of(''))).rejects.toThrow(
      'fill takes more than 32 MB: ',
    );
    expect(await patient.run(echo('next'), of(''))).toBe('next');
  });

  test('says so when a thread ends by itself, and replaces it', async () => {
    const pool = start({ maxThreads: 1 });
    await expect(pool.run({ does: 'exit' }, of(''))).rejects.toMatchObject({
      kind: 'internal',
      message: 'a thread that tests jobs has ended: it exited',
    });
    expect(await pool.run(echo('next'), of(''))).toBe('next');
  });

  test('a client with many long jobs leaves a thread to other clients', async () => {
    const pool = start();
    await Promise.all([pool.run(echo(''), of('a')), pool.run(echo(''), of('b'))]);
    const controller = new AbortController();
    let settled = 0;
    const flood = [1, 2, 3].map(() =>
      pool
        .run(LONG, of('attacker', controller.signal))
        .catch(() => undefined)
        .finally(() => (settled += 1)),
    );
    expect(await pool.run(echo('c'), of('innocent'))).toBe('c');
    expect(settled).toBe(0);
    controller.abort();
    await Promise.all(flood);
  });

  test('of clients that wait, the one that uses the fewest threads is next', async () => {
    const pool = start({ maxThreads: 3 });
    const controller = new AbortController();
    const order: string[] = [];
    const run = (client: string, ms: number): Promise<unknown> =>
      pool
        .run(spin(ms), of(client, controller.signal))
        .then(() => order.push(client))
        .catch(() => undefined);
    await Promise.all(['a', 'b', 'c'].map((client) => pool.run(spin(50), of(client))));
    // `a` has two threads, `b` one; when b's is free, c comes before all that a asked for earlier.
    const ofA = [run('a', 60_000), run('a', 60_000)];
    const ofB = run('b', 100);
    ofA.push(run('a', 1), run('a', 1));
    await Promise.all([ofB, run('c', 1)]);
    expect(order).toEqual(['b', 'c']);
    controller.abort();
    await Promise.all(ofA);
  });

  test('gives up the jobs of a client that has left', async () => {
    const pool = start({ maxThreads: 1 });
    await pool.run(echo('warm'), of(''));
    const controller = new AbortController();
    const left = [1, 2, 3].map(() => pool.run(LONG, of('', controller.signal)));
    const settled = Promise.allSettled(left);
    await new Promise((resolve) => setTimeout(resolve, 50));
    controller.abort(new Error('left'));
    expect(await pool.run(echo('next'), of(''))).toBe('next');
    for (const each of await settled) expect(each).toMatchObject({ reason: { message: 'left' } });
    await expect(pool.run(echo(''), of('', controller.signal))).rejects.toThrow('left');
  });

  test('jobs of one key are done once, unless the first client has left', async () => {
    const pool = start({ maxThreads: 1 });
    const same = (client: string) => ({ ...of(client), key: 'one' });
    const results = [
      pool.run(echo('first'), same('a')),
      pool.run(echo('second'), same('b')),
      pool.run(echo('third'), of('b')),
    ];
    expect(await Promise.all(results)).toEqual(['first', 'first', 'third']);
    const controller = new AbortController();
    const cut = pool.run(LONG, { ...of('a', controller.signal), key: 'two' }).catch(() => 'left');
    const waits = pool.run(echo('own'), { ...of('b'), key: 'two' });
    controller.abort();
    expect([await cut, await waits]).toEqual(['left', 'own']);
  });

  test('bounds what waits, in all and for each client', async () => {
    const pool = start({ maxThreads: 1, maxWaitingBytes: 100 });
    await pool.run(echo('warm'), of(''));
    const controller = new AbortController();
    const ended: Promise<unknown>[] = [];
    const wait = (client: string, bytes: number): void => {
      const options = { ...of(client, controller.signal), bytes };
      ended.push(pool.run(LONG, options).catch(() => undefined));
    };
    const expectRefused = (client: string, bytes: number): Promise<void> =>
      expect(pool.run(echo(''), { ...of(client), bytes })).rejects.toMatchObject({
        kind: 'overloaded',
        retryAfterSeconds: 1,
      });
    // This one runs; the next waits alone, and so may be larger.
    wait('a', 1000);
    wait('a', 60);
    await expectRefused('a', 1);
    wait('b', 30);
    await expectRefused('c', 20);
    wait('c', 10);
    controller.abort();
    await Promise.all(ended);
  });

  test('rejects what waits when it is closed', async () => {
    const pool = start({ maxThreads: 1 });
    const all = [pool.run(LONG, of('')), pool.run(echo(''), of(''))];
    const settled = Promise.allSettled(all);
    await pool.close();
    for (const each of await settled) expect(each).toMatchObject({ reason: { kind: 'draining' } });
    await expect(pool.run(echo(''), of(''))).rejects.toMatchObject({ kind: 'draining' });
  });
});
