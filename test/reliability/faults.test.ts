import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { RandomStream } from '../../bench/serve/random-stream.js';
import { eventually } from '../support/eventually.js';
import { exitCode, metric, SLOW_MODEL, startOctavo } from '../support/octavo-process.js';

const preload = (name: string): string =>
  `--import ${new URL(`../support/${name}`, import.meta.url).href}`;

function post(url: string, body: object): Promise<Response> {
  return fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
}

const story = (seed: number, tokens: number): object => ({
  prompt: `Once upon a time, number ${seed}`,
  max_tokens: tokens,
  ignore_eos: true,
  temperature: 0.8,
  seed,
});

async function textOf(response: Response): Promise<string> {
  const { choices } = (await response.json()) as { choices: { text: string }[] };
  return choices[0].text;
}

async function untilHealth(url: string, status: number): Promise<void> {
  const health = async (): Promise<number | undefined> =>
    (await fetch(`${url}/health`).catch(() => null))?.status;
  await eventually(async () => (await health()) === status, `health is ${status}`);
}

describe('the engine thread is killed', () => {
  it.each([1, 2, 3])(
    'at random steps (seed %i): all in flight are told, no block is lost, once',
    async (seed) => {
      const random = new RandomStream(seed, 'prompt', 0);
      // The first message says that the engine is ready.
      const kills = [random.integer(2, 120), random.integer(2, 120)];
      const { child, url } = await startOctavo([], {
        NODE_OPTIONS: preload('kill-thread.mjs'),
        KILL_THREAD: 'thread/worker.js',
        KILL_AFTER: kills.join(','),
      });
      const code = exitCode(child);
      const expectFailure = async (): Promise<void> => {
        const answers = await Promise.all(
          Array.from({ length: 8 }, async (_, i) => {
            const response = await post(url, { ...story(i, 400), stream: i % 2 === 1 });
            return { status: response.status, text: await response.text() };
          }),
        );
        answers.forEach(({ status, text }, i) => {
          expect([200, 500, 503]).toContain(status);
          // A stream that had begun ends with the error; none just breaks off.
          expect(text.trimEnd().split('\n').at(-1)).toMatch(
            /"code":"engine_(failed|restarting)"\}\}$/,
          );
          if (i % 2 === 0) expect(status).not.toBe(200);
        });
      };
      await expectFailure();
      await untilHealth(url, 200);
      await expect.poll(() => metric(url, 'vllm:kv_cache_usage_perc')).toBe(0);
      await expect.poll(() => metric(url, 'vllm:num_requests_running')).toBe(0);
      await expectFailure();
      expect(await code).toBe(1);
    },
  );
});

describe('a grammar thread is killed', () => {
  it('its requests get an error, neighbors nothing of it, and the next grammar works', async () => {
    const { url } = await startOctavo([], {
      NODE_OPTIONS: preload('kill-thread.mjs'),
      KILL_THREAD: 'grammar/grammar-thread.js',
      // Ready, written, compiled, and the first mask of the one matcher.
      KILL_AFTER: '4',
    });
    const alone = await textOf(await post(url, story(5, 200)));
    const constrained = { prompt: 'Hello', max_tokens: 400, guided_regex: '[a-z ]{300,350}' };
    const neighbor = post(url, story(5, 200));
    const lost = await post(url, constrained);
    expect(lost.status).toBe(500);
    expect(await lost.text()).toContain('internal error');
    expect(await textOf(await neighbor)).toBe(alone);
    expect(await textOf(await post(url, constrained))).toMatch(/^[a-z ]{300,350}$/);
    await expect.poll(() => metric(url, 'vllm:kv_cache_usage_perc')).toBe(0);
  });
});

describe('SIGTERM under load', () => {
  it('streams finish, new requests get 503, the exit code is 0', async () => {
    const { child, url } = await startOctavo(['--shutdown-timeout', '600'], SLOW_MODEL);
    const code = exitCode(child);
    const streams = await Promise.all(
      Array.from({ length: 8 }, (_, i) => post(url, { ...story(i, 300), stream: true })),
    );
    child.kill('SIGTERM');
    await untilHealth(url, 503);
    const refused = await post(url, story(9, 5));
    expect(refused.status).toBe(503);
    expect(refused.headers.get('retry-after')).toBe('1');
    for (const stream of streams) expect(await stream.text()).toMatch(/data: \[DONE\]\n\n$/);
    expect(await code).toBe(0);
  });

  it('a second signal exits at once, also while the model computes', async () => {
    const { child, url } = await startOctavo([], SLOW_MODEL);
    const closed = once(child, 'close');
    const stream = await post(url, { ...story(1, 1900), stream: true });
    const rest = stream.text().catch((error: Error) => error);
    child.kill('SIGTERM');
    await untilHealth(url, 503);
    child.kill('SIGTERM');
    // What a shell shows as 143. An abort would be SIGABRT.
    expect(await closed).toEqual([null, 'SIGTERM']);
    expect(await rest).toBeInstanceOf(Error);
  });
});

describe('the wall clock jumps', () => {
  it('by up to a day at every look: nothing ends early, waits or tells nonsense', async () => {
    const quiet = await startOctavo();
    const jumping = await startOctavo(
      ['--request-timeout', '600', '--rate-limit-requests', '100'],
      {
        NODE_OPTIONS: preload('jumping-clock.mjs'),
      },
    );
    const log: string[] = [];
    jumping.child.stdout?.on('data', (chunk: Buffer) => log.push(chunk.toString()));
    const seeds = [1, 2, 3, 4];
    const ask = (url: string): Promise<string[]> =>
      Promise.all(seeds.map(async (seed) => textOf(await post(url, story(seed, 150)))));
    expect(await ask(jumping.url)).toEqual(await ask(quiet.url));
    const times = (): number[] =>
      [...log.join('').matchAll(/"totalMs":(-?\d+)/g)].map(([, ms]) => Number(ms));
    await eventually(() => times().length === seeds.length, 'all are logged');
    for (const ms of times()) expect(ms > 0 && ms < 600_000).toBe(true);
    jumping.child.kill('SIGTERM');
    expect(await exitCode(jumping.child)).toBe(0);
  });
});

describe('a client floods connections', () => {
  it('those who were there first are served, and all are when it is over', async () => {
    const { url } = await startOctavo(['--max-connections', '20']);
    const running = await post(url, { ...story(1, 300), stream: true });
    const port = Number(new URL(url).port);
    const flood: Socket[] = [];
    for (let i = 0; i < 300; i++) {
      const socket = connect(port, '127.0.0.1').on('error', () => undefined);
      socket.write('GET /version HTTP/1.1\r\nhost: localhost\r\n\r\n');
      flood.push(socket.resume());
    }
    expect(await running.text()).toMatch(/data: \[DONE\]\n\n$/);
    for (const socket of flood) socket.destroy();
    await untilHealth(url, 200);
    expect(await textOf(await post(url, story(2, 5)))).not.toBe('');
  });
});
