import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startChromium, type TestBrowser } from '../support/chromium.js';
import { hasProgram } from '../support/debian-programs.js';
import { metric, startSharedOctavo } from '../support/octavo-process.js';

const text = (page: Page, selector: string): Promise<string | null> => page.textContent(selector);
const number = async (page: Page, selector: string): Promise<number> =>
  Number((await text(page, selector))?.replaceAll(/[^\d.]/g, ''));

const LONG = { timeout: 15_000 };

describe.skipIf(!hasProgram('chromium'))('the pages, in Chromium', () => {
  let server: Awaited<ReturnType<typeof startSharedOctavo>>;
  let browser: TestBrowser;

  beforeAll(async () => {
    server = await startSharedOctavo(['--kv-cache-memory', '128MiB']);
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
    const [rows, count] = [page.locator('#requests li.running'), '#requests .count >> nth=0'];
    await expect.poll(() => text(page, '#state'), LONG).toBe('ready');
    await expect.poll(digits('#count-free'), LONG).toBe(true);
    const [idle, free] = [await picture(), await number(page, '#count-free')];
    const stop = await load(6);
    await expect.poll(() => rows.count(), LONG).toBe(6);
    await expect.poll(() => text(page, count), LONG).toMatch(/^\d+ \+ \d+ of 1500$/);
    const before = await text(page, count);
    await expect.poll(() => text(page, count), LONG).not.toBe(before);
    expect(await picture()).not.toBe(idle);
    expect(await number(page, '#count-free')).toBeLessThan(free);
    // The common beginning is held by all of them.
    expect(await number(page, '#count-shared')).toBeGreaterThan(0);
    await expect.poll(digits('.tile b'), LONG).toBe(true);
    await expect.poll(digits('.chart .legend b'), LONG).toBe(true);
    await page.hover('#blocks', { position: { x: 4, y: 4 } });
    expect(await text(page, '#tip')).toMatch(
      /^Block 0: shared\nTokens 0 to 15 of its sequence\nChain of 1 block\nAllocated [\d.]+ s ago\nHeld by chatcmpl-/,
    );
    expect(await ground()).toBe('rgb(16, 19, 23)');
    await page.click('#theme');
    expect(await ground()).toBe('rgb(246, 246, 243)');
    await page.click('#theme');
    stop();
    await expect.poll(() => page.locator('#requests li').count(), LONG).toBe(0);
    await expect.poll(() => text(page, '#count-used'), LONG).toBe('0');
    expect(await number(page, '#count-cached')).toBeGreaterThan(0);
    expect(browser.complaints).toEqual([]);
    await page.close();
  });

  it('streams an answer, and stops one so that its blocks are free', async () => {
    const page = await browser.open(server.url);
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
    await expect.poll(() => text(page, '.writing .text'), LONG).toMatch(/./);
    await page.click('#stop');
    await page.waitForSelector('#send', { state: 'visible' });
    await page.unroute('**/v1/chat/completions');
    expect(await page.locator('.stats >> nth=1').textContent()).toMatch(/stopped$/);
    expect(await page.locator('#messages img').count()).toBe(0);
    const running = (): Promise<number> => metric(server.url, 'vllm:num_requests_running');
    const used = (): Promise<number> => metric(server.url, 'vllm:kv_cache_usage_perc');
    await expect.poll(running, LONG).toBe(0);
    await expect.poll(used, LONG).toBe(0);

    await page.fill('#temperature', '7');
    await page.fill('#input', 'Hello');
    await page.click('#send');
    await page.waitForSelector('.error');
    expect(await text(page, '.error')).toContain('temperature');
    // The refused request is the one thing that the console may name.
    expect(browser.complaints.filter((line) => !line.includes('400'))).toEqual([]);
    await page.close();
  });
});
