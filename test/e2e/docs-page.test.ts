import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { violations } from '../support/axe.js';
import { startChromium, type TestBrowser } from '../support/chromium.js';
import { hasProgram } from '../support/debian-programs.js';
import { startSharedOctavo } from '../support/octavo-process.js';

describe.skipIf(!hasProgram('chromium'))('the page of the API, in Chromium', () => {
  let server: Awaited<ReturnType<typeof startSharedOctavo>>;
  let browser: TestBrowser;

  beforeAll(async () => {
    server = await startSharedOctavo(['--kv-cache-memory', '32MiB', '--api-key', 'right']);
    browser = await startChromium('light');
  });
  afterAll(async () => {
    await browser.close();
    server.kill();
  });

  it('shows every route, its fields and limits, in light and dark', async () => {
    const page = await browser.open(`${server.url}/docs`);
    const document = (await (await fetch(`${server.url}/openapi.json`)).json()) as {
      paths: Record<string, Record<string, { operationId: string }>>;
    };
    const routes = Object.values(document.paths).flatMap((methods) => Object.values(methods));
    await page.waitForSelector('.operation');
    expect(await page.locator('.operation').count()).toBe(routes.length);
    expect(await page.locator('.index a').count()).toBe(routes.length);
    expect(await violations(page)).toEqual([]);
    // Each opens, and so does everything within.
    for (const { operationId } of routes) await page.click(`#${operationId} > summary`);
    const chat = page.locator('#postV1ChatCompletions');
    const field = (name: string): Promise<string | null> =>
      chat
        .locator('.fields > ul > li', { has: page.locator(`code:text-is("${name}")`) })
        .first()
        .textContent();
    expect(await field('temperature')).toBe('temperaturenumber, 0 to 2 or null');
    expect(await field('messages')).toMatch(/^messagesarray of .*, at least 1 itemsrequired$/);
    await chat.locator('.fields summary').first().click();
    await expect.poll(() => chat.locator('.fields .fields').count()).toBeGreaterThan(0);
    expect(await violations(page)).toEqual([]);
    await page.click('#theme');
    expect(await violations(page)).toEqual([]);
    await page.click('#theme');
    await page.setViewportSize({ width: 360, height: 700 });
    expect(await page.evaluate('document.documentElement.scrollWidth - innerWidth')).toBe(0);
    expect(browser.complaints).toEqual([]);
    await page.close();
  });

  it('sends requests with the key, and opens the route that the address names', async () => {
    const page = await browser.open(`${server.url}/docs#postTokenize`);
    const route = page.locator('#postTokenize');
    await route.locator('.curl').waitFor();
    expect(await route.locator('.curl').textContent()).toBe(
      [
        `curl ${server.url}/tokenize`,
        `  -H 'authorization: Bearer <key>'`,
        `  -H 'content-type: application/json'`,
        `  -d '{\n  "prompt": "An owl"\n}'`,
      ].join(' \\\n'),
    );
    await route.locator('.send-row button').click();
    await expect.poll(() => route.locator('.answer').textContent()).toContain('invalid_api_key');
    await page.fill('#key-input', 'right');
    await page.press('#key-input', 'Enter');
    await route.locator('.send-row button').click();
    await expect.poll(() => route.locator('.answer').textContent()).toContain('"tokens": [');
    expect(await route.locator('[role=status]').textContent()).toMatch(/^200 after \d+ ms$/);
    expect(await violations(page)).toEqual([]);
    await page.close();
  });
});
