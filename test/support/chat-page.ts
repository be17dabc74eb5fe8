import type { Page } from 'playwright-core';
import type { TestBrowser } from './chromium.js';

/** The chat page without what an earlier test has left in the browser. */
export async function openChat(browser: TestBrowser, url: string): Promise<Page> {
  const page = await browser.open(url);
  await page.evaluate('localStorage.clear()');
  await page.reload();
  return page;
}

/** Answers every request of the page with these deltas, and keeps what was asked. */
export async function answerWith(
  page: Page,
  ...deltas: object[]
): Promise<Record<string, unknown>[]> {
  const asked: Record<string, unknown>[] = [];
  const chunk = (delta: object, reason: string | null): string =>
    `data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason: reason }] })}\n\n`;
  const body = `${deltas.map((delta) => chunk(delta, null)).join('')}${chunk({}, 'stop')}data: [DONE]\n\n`;
  await page.route('**/v1/chat/completions', (route) => {
    asked.push(route.request().postDataJSON() as Record<string, unknown>);
    return route.fulfill({ contentType: 'text/event-stream', body });
  });
  return asked;
}

/** Sends a message, and waits until the answer has ended. */
export async function say(page: Page, text: string): Promise<void> {
  await page.fill('#input', text);
  await page.press('#input', 'Enter');
  await page.waitForSelector('#send', { state: 'visible' });
  await page.waitForSelector('.assistant:not(.writing) .actions');
}
