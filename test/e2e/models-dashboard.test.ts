import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { violations } from '../support/axe.js';
import { startChromium, type TestBrowser } from '../support/chromium.js';
import { hasProgram } from '../support/debian-programs.js';
import { startSharedOctavo } from '../support/octavo-process.js';

const TINY = fileURLToPath(new URL('../../models/octavo-tiny', import.meta.url));

describe.skipIf(!hasProgram('chromium'))('the dashboard of several models, in Chromium', () => {
  let server: Awaited<ReturnType<typeof startSharedOctavo>>;
  let browser: TestBrowser;

  beforeAll(async () => {
    const models = ['--model', TINY, '--model', `owl=${TINY}`, '--model', `cat=${TINY}`];
    server = await startSharedOctavo(['--kv-cache-memory', '16MiB', ...models]);
    browser = await startChromium('light');
  });
  afterAll(async () => {
    await browser.close();
    server.kill();
  });

  const post = async (path: string, body: object = {}): Promise<void> => {
    const headers = { 'content-type': 'application/json' };
    const options = { method: 'POST', headers, body: JSON.stringify(body) };
    const response = await fetch(server.url + path, options);
    expect(response.status).toBe(200);
    await response.text();
  };
  const ask = (model: string): Promise<void> =>
    post('/v1/completions', { model, prompt: 'Once', max_tokens: 8, ignore_eos: true });
  const states = (page: Page): Promise<string[]> =>
    page.locator('#model-rows .badge').allTextContents();

  it('shows all side by side: states, figures, and a line for each that was loaded', async () => {
    const page = await browser.open(`${server.url}/dashboard`);
    await expect.poll(() => states(page)).toEqual(['loaded', 'asleep', 'asleep']);
    expect(await page.locator('#models option').allTextContents()).toEqual([
      'All models',
      'octavo-tiny',
      'owl',
      'cat',
    ]);
    await ask('owl');
    await expect.poll(() => states(page)).toEqual(['loaded', 'loaded', 'asleep']);
    await expect.poll(() => page.textContent('#all-loaded')).toBe('2 of 3');
    const legend = page.locator('#model-charts .chart >> nth=0').locator('.legend li');
    await expect
      .poll(async () => (await legend.allTextContents()).map((text) => text.split(' ')[0]))
      .toEqual(['octavo-tiny', 'owl']);
    await expect
      .poll(() => page.locator('#model-charts .chart >> nth=0').locator('canvas').count())
      .toBe(1);
    // A row stays what it is, and keeps the focus, while its figures change.
    await page.focus('#model-rows a >> nth=1');
    await post('/sleep?model=owl');
    await expect.poll(() => states(page)).toEqual(['loaded', 'asleep', 'asleep']);
    expect(await page.evaluate('document.activeElement.textContent')).toBe('owl');
    expect((await legend.allTextContents()).length).toBe(2);
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme });
      for (const width of [1440, 390]) {
        await page.setViewportSize({ width, height: 800 });
        expect([colorScheme, width, await violations(page)]).toEqual([colorScheme, width, []]);
        expect(await page.evaluate('document.documentElement.scrollWidth - innerWidth')).toBe(0);
      }
    }
    expect(browser.complaints).toEqual([]);
    await page.close();
  });

  it('shows one that is asleep as soon as it is awake, and all when it falls asleep', async () => {
    const page = await browser.open(`${server.url}/dashboard?model=cat`);
    await page.waitForSelector('#asleep', { state: 'visible' });
    expect(await page.textContent('#asleep')).toMatch(/^cat is not loaded\./);
    expect(await page.inputValue('#models')).toBe('cat');
    expect(await page.isVisible('#content')).toBe(false);
    await ask('cat');
    await page.waitForSelector('#content', { state: 'visible' });
    expect(await page.isVisible('#overview')).toBe(false);
    await expect.poll(() => page.textContent('#model')).toMatch(/^cat · f32 · /);
    await expect.poll(() => page.textContent('#output-note')).toMatch(/^8 in /);
    await post('/sleep?model=cat');
    await page.waitForSelector('#asleep', { state: 'visible' });
    expect(await page.isVisible('#content')).toBe(false);
    await page.selectOption('#models', 'octavo-tiny');
    await expect.poll(() => page.textContent('#model')).toMatch(/^octavo-tiny · /);
    await page.selectOption('#models', '');
    await page.waitForSelector('#overview', { state: 'visible' });
    expect(new URL(page.url()).search).toBe('');
    await page.close();
  });
});
