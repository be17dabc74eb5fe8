import type { Page } from 'playwright-core';
import type { TestBrowser } from './chromium.js';

/** The chat page without what an earlier test has left in the browser. */
export async function openChat(browser: TestBrowser, url: string): Promise<Page> {
  const page = await browser.open(url);
  await page.evaluate(`localStorage.clear();
    new Promise((resolve) => {
      indexedDB.deleteDatabase('octavo-chats').addEventListener('success', resolve);
    })`);
  await page.goto(url);
  await page.reload();
  return page;
}

/** Answers every request of the page with these deltas, and keeps what was asked. */
export function answerWith(page: Page, ...deltas: object[]): Promise<Record<string, unknown>[]> {
  return answerInTurn(page, deltas);
}

/** The same, with other deltas for each request; the last ones also for all that follow. */
export async function answerInTurn(
  page: Page,
  ...answers: (readonly object[])[]
): Promise<Record<string, unknown>[]> {
  const asked: Record<string, unknown>[] = [];
  const chunk = (delta: object, reason: string | null): string =>
    `data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason: reason }] })}\n\n`;
  await page.route('**/v1/chat/completions', (route) => {
    const deltas = answers[Math.min(asked.length, answers.length - 1)] ?? [];
    asked.push(route.request().postDataJSON() as Record<string, unknown>);
    const body = `${deltas.map((delta) => chunk(delta, null)).join('')}${chunk({}, 'stop')}data: [DONE]\n\n`;
    return route.fulfill({ contentType: 'text/event-stream', body });
  });
  return asked;
}

/** Sends a message, and waits until the answer has ended. */
export async function say(page: Page, text: string): Promise<void> {
  await page.fill('#input', text);
  await page.press('#input', 'Enter');
  await page.waitForSelector('#send', { state: 'visible' });
  await page.locator('.assistant:not(.writing) .actions').last().waitFor();
}
