import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { freePort } from '../../bench/lib/free-port.js';
import { violations } from '../support/axe.js';
import { openChat } from '../support/chat-page.js';
import { startChromium, type TestBrowser } from '../support/chromium.js';
import { hasProgram } from '../support/debian-programs.js';
import { metric, SLOW_MODEL, startOctavo, startSharedOctavo } from '../support/octavo-process.js';

const text = (page: Page, selector: string): Promise<string | null> => page.textContent(selector);
const number = async (page: Page, selector: string): Promise<number> =>
  Number((await text(page, selector))?.replaceAll(/[^\d.]/g, ''));

describe.skipIf(!hasProgram('chromium'))('the pages, in Chromium', () => {
  let server: Awaited<ReturnType<typeof startSharedOctavo>>;
  let browser: TestBrowser;

  beforeAll(async () => {
    server = await startSharedOctavo(['--kv-cache-memory', '64MiB'], SLOW_MODEL);
    browser = await startChromium('dark');
  });
  afterAll(async () => {
    await browser.close();
    server.kill();
  });

  /** Streams that run until they are aborted; resolves when each has begun. */
  async function load(streams: number): Promise<() => void> {
    const controller = new AbortController();
    const messages = [
      { role: 'system', content: 'You tell stories to children. '.repeat(12) },
      { role: 'user', content: 'Tell me a story about an owl.' },
    ];
    const body = { messages, max_tokens: 1500, min_tokens: 1500, ignore_eos: true, stream: true };
    const begin = async (): Promise<void> => {
      const response = await fetch(`${server.url}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
        signal: controller.signal,
      });
      response.body?.pipeTo(new WritableStream()).catch(() => undefined);
    };
    await begin();
    await Promise.all(Array.from({ length: streams - 1 }, begin));
    return () => controller.abort();
  }

  it('shows blocks, requests and figures as they change, in dark and light', async () => {
    const page = await browser.open(`${server.url}/dashboard`);
    const picture = (): Promise<string> =>
      page.evaluate("document.getElementById('blocks').toDataURL()");
    const ground = (): Promise<string> =>
      page.evaluate('getComputedStyle(document.body).backgroundColor');
    const digits = (selector: string) => async (): Promise<boolean> =>
      (await page.locator(selector).allTextContents()).every((words) => /\d/.test(words));
    const rows = page.locator('#requests tr.running');
    const output = '#requests td:nth-child(5) >> nth=0';
    await expect.poll(() => text(page, '#state')).toBe('ready');
    await expect.poll(digits('#count-free')).toBe(true);
    expect(await violations(page)).toEqual([]);
    const [idle, free] = [await picture(), await number(page, '#count-free')];
    const stop = await load(6);
    await expect.poll(() => rows.count()).toBe(6);
    await expect.poll(() => text(page, output)).toMatch(/^\d+ \/ 1500$/);
    const before = await text(page, output);
    await expect.poll(() => text(page, output)).not.toBe(before);
    expect(await picture()).not.toBe(idle);
    expect(await number(page, '#count-free')).toBeLessThan(free);
    // The common beginning is held by all of them.
    expect(await number(page, '#count-shared')).toBeGreaterThan(0);
    await expect.poll(digits('#content .tile b')).toBe(true);
    await expect.poll(digits('.chart:nth-child(-n+4) .legend b')).toBe(true);
    await expect.poll(digits('#requests td:nth-child(6)')).toBe(true);
    await page.hover('#blocks', { position: { x: 4, y: 4 } });
    expect(await text(page, '#tip')).toMatch(
      /^Block 0: shared\nTokens 0 to 15 of its sequence\nChain of 1 block\nAllocated [\d.]+ s ago\nHeld by chatcmpl-/,
    );
    expect(await violations(page)).toEqual([]);
    expect(await ground()).toBe('rgb(16, 19, 23)');
    await page.click('#theme');
    expect(await ground()).toBe('rgb(246, 246, 243)');
    expect(await violations(page)).toEqual([]);
    await page.click('#theme');
    stop();
    await expect.poll(() => page.locator('#requests tr').count()).toBe(0);
    await expect
      .poll(() => page.locator('#ended .state').allTextContents())
      .toEqual(Array.from({ length: 6 }, () => 'client left'));
    await expect.poll(() => text(page, '#count-used')).toBe('0');
    expect(await number(page, '#count-cached')).toBeGreaterThan(0);
    expect(browser.complaints).toEqual([]);
    await page.close();
  });

  it('shows what happened before it was opened: errors, ends, and charts', async () => {
    const post = (body: string): Promise<Response> =>
      fetch(`${server.url}/v1/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
      });
    expect((await post('{"prompt": 3}')).status).toBe(400);
    await (await post('{"prompt": "Once", "max_tokens": 7, "ignore_eos": true}')).text();
    // The second in which that happened is over.
    await new Promise((resolve) => setTimeout(resolve, 1100));
    const page = await browser.open(`${server.url}/dashboard`);
    await expect.poll(() => text(page, '#errors-note')).toMatch(/^[1-9]\d* × 4xx/);
    expect(await page.locator('#ended tr >> nth=0').locator('td').allTextContents()).toEqual([
      expect.stringMatching(/^[0-9a-f]{6}$/),
      'length',
      expect.stringMatching(/ s$/),
      expect.stringMatching(/^\d+$/),
      '7',
      expect.stringMatching(/^\d/),
    ]);
    const chart = (title: string) => page.locator('.chart', { hasText: title });
    for (const title of ['Tokens per second', 'Errors per second', 'Memory', 'Step time']) {
      expect([title, await chart(title).locator('canvas').count()]).toEqual([title, 1]);
    }
    // A chart of nothing says so instead of showing axes.
    expect(await chart('Preemptions').locator('canvas').count()).toBe(0);
    expect(await chart('Preemptions').locator('.empty').textContent()).toMatch(/^No preemptions/);
    await page.click('#content >> text=15 min');
    expect(await page.getAttribute('#content >> text=15 min', 'aria-pressed')).toBe('true');
    expect(await violations(page)).toEqual([]);
    await page.close();
  });

  it('shows tiers where there are some, and how they are', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'octavo-pages-kv-'));
    const tiers = ['--kv-host-memory', '16MiB', '--kv-cache-dir', directory];
    const small = ['--kv-cache-memory', '720KiB', '--max-model-len', '256'];
    const { url } = await startOctavo([...small, ...tiers]);
    // The second time, each is in the tiers only.
    for (const word of ['owl', 'fox', 'bee', 'elk', 'owl', 'fox']) {
      await fetch(`${url}/v1/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ prompt: `The ${word} and the school. `.repeat(20), max_tokens: 2 }),
      });
    }
    const page = await browser.open(`${url}/dashboard`);
    const panel = (name: string) => page.locator('.tier', { hasText: name });
    await expect
      .poll(() => page.locator('.tier h2').allTextContents())
      .toEqual(['Host memory', 'Disk']);
    const words = async (name: string): Promise<string> =>
      (await panel(name).allInnerTexts()).join().replaceAll(/\s+/g, ' ');
    await expect
      .poll(() => words('Host memory'))
      .toMatch(
        /^Host memory in use \d+ MiB of 16 MiB · \d+ blocks Hits [1-9]\d* of \d+ .* Loads [1-9]\d*, [\d.]+ ms each /,
      );
    // Each block that has left the pages is on disk, as soon as the queue is empty.
    await expect
      .poll(() => words('Disk'))
      .toMatch(/^Disk in use .* of 16.0 GiB .* Stored [1-9]\d* Queue 0 Lost 0$/);
    expect(await violations(page)).toEqual([]);
    const states = await page.evaluate(`import('/pages/tier-panels.mjs').then(({ TierPanels }) => {
      const parent = document.createElement('section');
      const panels = new TierPanels(parent);
      const tier = { bytes: 1, capacityBytes: 2, blocks: 1, asked: 0, found: 0, loads: 0 };
      const shown = (isUp, isWritable) => {
        panels.show([{ ...tier, name: 'redis', loaded: 0, stored: 0, queued: 0, dropped: 0, failed: 2, isUp, isWritable }]);
        return [parent.querySelector('.pill').textContent, parent.querySelector('.pill').className];
      };
      const states = [shown(true, true), shown(true, false), shown(false, false)];
      panels.show([]);
      return [...states, parent.hidden];
    })`);
    expect(states).toEqual([
      ['in use', 'pill good'],
      ['read only: writing failed', 'pill bad'],
      ['left alone: it failed', 'pill bad'],
      true,
    ]);
    await page.close();
    const without = await browser.open(`${server.url}/dashboard`);
    await expect.poll(() => text(without, '#state')).toBe('ready');
    await expect.poll(() => text(without, '#running')).toBe('0');
    expect(await without.isVisible('#tiers')).toBe(false);
    await without.close();
    expect(browser.complaints).toEqual([]);
  });

  it('sorts requests by a click, and goes through the map with keys', async () => {
    const page = await browser.open(`${server.url}/dashboard`);
    const stop = await load(3);
    const rows = page.locator('#requests tr');
    await expect.poll(() => rows.count()).toBe(3);
    const ids = (): Promise<string[]> => page.locator('#requests .id').allTextContents();
    const [inOrder, head] = [await ids(), page.locator('th', { hasText: 'Request' })];
    await head.locator('button').click();
    expect(await head.getAttribute('aria-sort')).toBe('descending');
    const full = (): Promise<string[]> =>
      page.evaluate(
        "Array.from(document.querySelectorAll('#requests .id button'), ({ title }) => title)",
      );
    const sorted = await full();
    expect(sorted).toEqual(sorted.toSorted((a, b) => (a < b ? 1 : -1)));
    await head.locator('button').click();
    expect(await full()).toEqual(sorted.toReversed());
    await head.locator('button').click();
    expect(await ids()).toEqual(inOrder);
    expect(await head.getAttribute('aria-sort')).toBeNull();

    const focused = (): Promise<string> => page.evaluate('document.activeElement.id');
    await page.focus('.brand');
    for (let i = 0; i < 12 && (await focused()) !== 'map'; i++) await page.keyboard.press('Tab');
    expect(await focused()).toBe('map');
    expect(await text(page, '#cell')).toMatch(/^Block 0: /);
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowRight');
    expect(await text(page, '#cell')).toMatch(/^Block 2: /);
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Home');
    expect(await text(page, '#tip')).toMatch(/^Block 0: /);
    await page.keyboard.press('Escape');
    expect(await page.isVisible('#tip')).toBe(false);
    stop();
    await page.close();
  });

  it('draws any number of blocks in cells that can be told apart, all within the box', async () => {
    const page = await browser.open(`${server.url}/dashboard`);
    const wrong = await page.evaluate(`import('/pages/block-grid.mjs').then(({ gridFor }) => {
      const wrong = [];
      for (const blocks of [1, 2, 7, 64, 1000, 3276, 26_214, 400_000]) {
        for (const [width, height] of [[830, 340], [360, 300], [1060, 500], [41, 39]]) {
          const grid = gridFor(blocks, width, height);
          const { perCell, cells, columns, rows } = grid;
          const fits = columns * grid.width <= width + 1e-6 && rows * grid.height <= height + 1e-6;
          const holds = cells * perCell >= blocks && columns * rows >= cells;
          const seen = Math.min(grid.width, grid.height) >= 6.5;
          if (!fits || !holds || !seen) wrong.push({ blocks, width, height, ...grid });
        }
      }
      return wrong;
    })`);
    expect(wrong).toEqual([]);
    await page.close();
  });

  it('streams an answer, and stops one so that its blocks are free', async () => {
    const page = await openChat(browser, server.url);
    await page.fill('#temperature', '0');
    await page.fill('#input', 'What is the capital of France?');
    await page.press('#input', 'Enter');
    await page.waitForSelector('.stats');
    expect(await text(page, '.assistant .text')).toBe('The capital of France is Paris.');
    expect(await text(page, '.stats')).toMatch(
      /^8 tokens · \d+ tok\/s · first after \d+ ms · \d+ of 11 prompt tokens cached$/,
    );

    // What the reader writes, or the model answers, is never read as HTML.
    await page.fill('#max_tokens', '1900');
    await page.fill('#temperature', '2');
    await page.fill('#input', '<img src=x onerror="alert(1)"> Tell me a story.');
    // An answer that goes on until it is stopped.
    await page.route('**/v1/chat/completions', (route) => {
      const body = route.request().postDataJSON() as object;
      return route.continue({ postData: JSON.stringify({ ...body, ignore_eos: true }) });
    });
    await page.click('#send');
    await expect.poll(() => text(page, '.writing .text')).toMatch(/./);
    await page.click('#stop');
    await page.waitForSelector('#send', { state: 'visible' });
    await page.unroute('**/v1/chat/completions');
    expect(await page.locator('.stats >> nth=1').textContent()).toMatch(/stopped$/);
    expect(await page.locator('#messages img').count()).toBe(0);
    const running = (): Promise<number> => metric(server.url, 'vllm:num_requests_running');
    const used = (): Promise<number> => metric(server.url, 'vllm:kv_cache_usage_perc');
    await expect.poll(running).toBe(0);
    await expect.poll(used).toBe(0);

    await page.fill('#temperature', '7');
    await page.fill('#input', 'Hello');
    await page.click('#send');
    await page.waitForSelector('.error');
    expect(await text(page, '.error')).toContain('temperature');
    // The refused request is the one thing that the console may name.
    expect(browser.complaints.filter((line) => !line.includes('400'))).toEqual([]);
    await page.close();
  });

  it('shows reasoning and tool calls, streamed, and gives calls back in the next question', async () => {
    const page = await openChat(browser, server.url);
    const bodies: { messages: unknown[] }[] = [];
    const deltas = [
      { role: 'assistant', content: '' },
      { reasoning_content: 'The user ' },
      { reasoning_content: '<b>wants</b> the weather.' },
      { content: 'Let me look.' },
      {
        tool_calls: [{ index: 0, id: 'call_1', function: { name: 'get_weather', arguments: '' } }],
      },
      { tool_calls: [{ index: 0, function: { arguments: '{"city": ' } }] },
      { tool_calls: [{ index: 0, function: { arguments: '"Rome"}' } }] },
    ];
    const chunk = (delta: object, reason: string | null = null): string =>
      `data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason: reason }] })}\n\n`;
    const stream = `${deltas.map((delta) => chunk(delta)).join('')}${chunk({}, 'tool_calls')}data: [DONE]\n\n`;
    await page.route('**/v1/chat/completions', (route) => {
      bodies.push(route.request().postDataJSON() as { messages: unknown[] });
      return route.fulfill({ contentType: 'text/event-stream', body: stream });
    });
    await page.fill('#input', 'What is the weather in Rome?');
    await page.press('#input', 'Enter');
    await page.waitForSelector('.stats');
    expect(await text(page, '.reasoning div')).toBe('The user <b>wants</b> the weather.');
    expect(await text(page, '.assistant .text')).toBe('Let me look.');
    expect(await text(page, '.call summary')).toBe('get_weather {"city": "Rome"}');
    expect(await page.isVisible('.reasoning div')).toBe(false);
    expect(await text(page, '.stats')).toMatch(/tool calls$/);
    await page.fill('#input', 'Thanks');
    await page.press('#input', 'Enter');
    await expect.poll(() => bodies.length).toBe(2);
    expect(bodies[1].messages).toEqual([
      { role: 'user', content: 'What is the weather in Rome?' },
      {
        role: 'assistant',
        content: 'Let me look.',
        tool_calls: [
          {
            id: 'call_1',
            type: 'function',
            function: { name: 'get_weather', arguments: '{"city": "Rome"}' },
          },
        ],
      },
      { role: 'user', content: 'Thanks' },
    ]);
    await page.close();
  });

  it('a new chat begun while an answer is written knows nothing of it', async () => {
    const page = await openChat(browser, server.url);
    await page.fill('#max_tokens', '1900');
    await page.route('**/v1/chat/completions', (route) => {
      const body = route.request().postDataJSON() as object;
      return route.continue({ postData: JSON.stringify({ ...body, ignore_eos: true }) });
    });
    await page.fill('#input', 'Tell me a story.');
    await page.press('#input', 'Enter');
    await expect.poll(() => text(page, '.writing .text')).toMatch(/./);
    await page.click('#new-chat');
    await page.unroute('**/v1/chat/completions');
    await page.waitForSelector('#send', { state: 'visible' });
    const asked = page.waitForRequest('**/v1/chat/completions');
    await page.fill('#max_tokens', '5');
    await page.fill('#input', 'Hello');
    await page.press('#input', 'Enter');
    const { messages } = (await asked).postDataJSON() as { messages: unknown[] };
    expect(messages).toEqual([{ role: 'user', content: 'Hello' }]);
    await page.waitForSelector('.stats');
    await page.close();
  });

  it.each([390, 320])('fit on a screen of %i pixels', async (width) => {
    const page = await browser.open(server.url);
    const overflow = (): Promise<number> =>
      page.evaluate('document.documentElement.scrollWidth - innerWidth');
    await page.setViewportSize({ width, height: 680 });
    expect(await overflow()).toBe(0);
    // The parameters step back for the conversation, and are there when they are asked for.
    // (The page hears of its new width a moment later.)
    await expect.poll(() => page.isVisible('#temperature')).toBe(false);
    await page.click('#parameters > summary');
    expect(await page.isVisible('#temperature')).toBe(true);
    await page.goto(`${server.url}/dashboard`);
    await expect.poll(() => text(page, '#state')).toBe('ready');
    expect(await overflow()).toBe(0);
    await page.close();
  });
});

describe.skipIf(!hasProgram('chromium'))(
  'the pages of a server with keys, which is started again',
  () => {
    it('try a request again that was sent before there was a key, and refused after', async () => {
      const { url } = await startOctavo(['--api-key', 'right', '--kv-cache-memory', '32MiB']);
      const browser = await startChromium('light');
      onTestFinished(() => browser.close());
      const page = await browser.open(url);
      await page.waitForSelector('#key', { state: 'visible' });
      let give = (): void => undefined;
      const given = new Promise<void>((resolve) => (give = resolve));
      let sent = 0;
      await page.route('**/v1/chat/completions', async (route) => {
        if (sent++ === 0) await given;
        await route.continue();
      });
      await page.fill('#input', 'What is the capital of France?');
      await page.fill('#temperature', '0');
      await page.press('#input', 'Enter');
      await expect.poll(() => sent).toBe(1);
      await page.fill('#key-input', 'right');
      await page.press('#key-input', 'Enter');
      await page.waitForSelector('#key', { state: 'hidden' });
      give();
      await expect
        .poll(() => page.locator('.assistant .text').last().textContent())
        .toBe('The capital of France is Paris.');
    });

    it('ask for the key, keep it, and find the new server', async () => {
      const port = String(await freePort());
      const args = ['--port', port, '--api-key', 'right', '--kv-cache-memory', '32MiB'];
      const first = await startOctavo(args);
      const browser = await startChromium('light');
      onTestFinished(() => browser.close());
      const stranger = await browser.open(`${first.url}/dashboard`);
      await stranger.waitForSelector('#key', { state: 'visible' });
      // Nothing but the question for the key.
      expect(await stranger.isVisible('.tiles')).toBe(false);
      expect(await stranger.isVisible('#model')).toBe(false);
      expect(await stranger.isVisible('.key-error')).toBe(false);
      expect(await violations(stranger)).toEqual([]);
      await stranger.fill('#key-input', 'wrong');
      await stranger.press('#key-input', 'Enter');
      await stranger.waitForSelector('.key-error', { state: 'visible' });
      expect(await violations(stranger)).toEqual([]);
      await stranger.close();
      const page = await browser.open(first.url);
      await page.waitForSelector('#key', { state: 'visible' });
      await page.fill('#key-input', 'wrong');
      await page.press('#key-input', 'Enter');
      await page.waitForSelector('#key', { state: 'visible' });
      // Stopped while the key is asked for, an answer ends.
      await page.fill('#input', 'Hello');
      await page.press('#input', 'Enter');
      await page.click('#stop');
      await page.waitForSelector('#send', { state: 'visible' });
      await page.fill('#input', 'What is the capital of France?');
      await page.fill('#temperature', '0');
      await page.press('#input', 'Enter');
      await page.waitForSelector('#key', { state: 'visible' });
      await page.fill('#key-input', 'right');
      await page.press('#key-input', 'Enter');
      await expect
        .poll(() => page.locator('.assistant .text').last().textContent())
        .toBe('The capital of France is Paris.');
      expect(await page.isVisible('#key')).toBe(false);
      expect(await page.locator('#model option').allTextContents()).toEqual(['octavo-tiny']);

      // The same tab, so the same key.
      await page.goto(`${first.url}/dashboard`);
      await expect.poll(() => text(page, '#state')).toBe('ready');
      expect(await page.isVisible('#key')).toBe(false);
      await expect.poll(() => number(page, '#count-cached')).toBeGreaterThan(0);
      first.child.kill('SIGKILL');
      await expect.poll(() => text(page, '#state')).toBe('disconnected');
      await startOctavo(args);
      await expect.poll(() => text(page, '#state')).toBe('ready');
      // The new one's cache is empty, and so is the map.
      await expect.poll(() => text(page, '#count-cached')).toBe('0');
      expect(await page.isVisible('#key')).toBe(false);
    });
  },
);
