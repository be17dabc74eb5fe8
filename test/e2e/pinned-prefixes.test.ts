import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { freePort } from '../../bench/lib/free-port.js';
import { exitCode, type RunningServer, runOctavo, startOctavo } from '../support/octavo-process.js';

/** Pages for a few prompts of full length: a flood takes all that are not pinned. */
const SMALL = ['--max-model-len', '256', '--kv-cache-memory', '1600KiB', '--threads', '1'];

const words = (from: number, count: number): string =>
  Array.from(
    { length: count },
    (_, k) => `${'abcdefghij'[(from * 7 + k * 3) % 10]}${from}${k}`,
  ).join(' ');

const SYSTEM = { role: 'system', content: words(1, 24) };
const PREFIX = { name: 'support', messages: [SYSTEM] };

function fileOf(...prefixes: object[]): string {
  const path = join(mkdtempSync(join(tmpdir(), 'octavo-prefixes-')), 'prefixes.jsonl');
  writeFileSync(path, prefixes.map((prefix) => `${JSON.stringify(prefix)}\n`).join(''));
  return path;
}

async function post(url: string, path: string, body: object) {
  const response = await fetch(url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ max_tokens: 12, temperature: 0, ...body }),
  });
  const answer = (await response.json()) as {
    choices: { message: { content: string } }[];
    usage: { prompt_tokens_details: { cached_tokens: number } };
  };
  expect(response.status).toBe(200);
  return answer;
}

/** A user of the system prompt. */
async function chat(url: string, more: object = {}) {
  const messages = [SYSTEM, { role: 'user', content: 'What is the capital of France?' }];
  const { choices, usage } = await post(url, '/v1/chat/completions', { messages, ...more });
  return { text: choices[0].message.content, cached: usage.prompt_tokens_details.cached_tokens };
}

async function flood(url: string): Promise<void> {
  for (let i = 10; i < 20; i++) await post(url, '/v1/completions', { prompt: words(i, 40) });
}

const pinnedIn = (text: string): number => Number(/(\d+) of \d+ tokens are pinned/.exec(text)?.[1]);

async function stop({ child }: RunningServer): Promise<void> {
  const code = exitCode(child);
  child.kill('SIGTERM');
  expect(await code).toBe(0);
}

describe('pinned prefixes', () => {
  it('are there before the first user and after floods, with the same texts, until they are unpinned', async () => {
    const plain = await startOctavo(SMALL);
    const { text } = await chat(plain.url);
    await flood(plain.url);
    expect((await chat(plain.url)).cached).toBe(0);
    await stop(plain);

    const file = fileOf(PREFIX);
    const { url, output } = await startOctavo([...SMALL, '--warm-prefixes', file]);
    const pinned = pinnedIn(output);
    expect(pinned).toBeGreaterThan(60);
    expect(await chat(url)).toEqual({ text, cached: pinned });
    await flood(url);
    expect(await chat(url)).toEqual({ text, cached: pinned });
    expect(await chat(url, { cache_salt: 'mine' })).toEqual({ text, cached: 0 });
    const list = await runOctavo(['cache', 'list', '--url', url]);
    expect(list.stdout).toMatch(
      new RegExp(`^support: ${pinned} of \\d+ tokens are pinned; octavo-tiny, since \\S+Z\n$`),
    );

    const more = fileOf(
      { name: 'text', prompt: words(5, 12) },
      { name: 'no', model: 'x', prompt: 'x' },
    );
    const warmed = await runOctavo(['cache', 'warm', more, '--url', url]);
    expect(warmed.stdout).toMatch(/^text: \d+ of \d+ tokens are pinned; 0 were cached; \S+ s\n$/);
    expect(warmed.stderr).toBe("octavo: prefix no: 404: the model 'x' does not exist\n");
    expect(warmed.code).toBe(1);

    const unpin = ['cache', 'unpin', 'support', '--url', url];
    expect(await runOctavo(unpin)).toMatchObject({ code: 0, stderr: '' });
    expect((await runOctavo(unpin)).stderr).toBe(
      `octavo: ${url}: 404: no prefix is pinned as 'support'\n`,
    );
    await flood(url);
    expect((await chat(url)).cached).toBe(0);
  });

  it('come back from the disk with --warm-prefixes, and are found there without it, too', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'octavo-kv-'));
    const disk = [...SMALL, '--kv-cache-dir', directory];
    const file = fileOf(PREFIX);
    const first = await startOctavo(disk);
    const warmed = await runOctavo(['cache', 'warm', file, '--url', first.url]);
    const pinned = pinnedIn(warmed.stdout);
    const { text, cached } = await chat(first.url);
    expect(cached).toBe(pinned);
    await flood(first.url);
    await stop(first);

    const second = await startOctavo([...disk, '--warm-prefixes', file]);
    // All but the last block, which a request always computes, came from the files.
    expect(second.output).toMatch(new RegExp(`tokens are pinned, ${pinned - 16} were cached`));
    // A block of the question was saved, too.
    const again = await chat(second.url);
    expect(again.text).toBe(text);
    expect(again.cached).toBeGreaterThanOrEqual(pinned);
    await stop(second);

    const third = await startOctavo(disk);
    expect((await runOctavo(['cache', 'list', '--url', third.url])).stdout).toBe('');
    expect(await chat(third.url)).toEqual(again);
  });

  it('that cannot be keep the server from starting, with one clear line', async () => {
    const serve = (...args: string[]) => runOctavo(['serve', '--port', '0', ...SMALL, ...args]);
    const wrong = await serve('--warm-prefixes', fileOf({ name: 'a', prompt: 7 }));
    expect(wrong.stderr).toMatch(/^octavo: --warm-prefixes \S+: prefix a: prompt must be .*\n$/);
    const full = ['--kv-cache-memory', '800KiB', '--warm-prefixes', fileOf(PREFIX)];
    const ended = await serve(...full);
    expect(ended.stderr).toMatch(
      /^octavo: --warm-prefixes \S+: prefix support: Pinned prefixes may hold \d+ blocks .*\n$/,
    );
    expect([wrong.code, ended.code]).toEqual([2, 2]);
  });

  it('octavo cache says when no server answers', async () => {
    const url = `http://127.0.0.1:${await freePort()}`;
    expect(await runOctavo(['cache', 'list', '--url', `${url}/v1`])).toMatchObject({
      code: 1,
      stderr: `octavo: ${url}: cannot be reached (ECONNREFUSED)\n`,
    });
  });
});
