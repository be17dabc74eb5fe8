import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { violations } from '../support/axe.js';
import { answerInTurn, answerWith, openChat, say } from '../support/chat-page.js';
import { startChromium, type TestBrowser } from '../support/chromium.js';
import { hasProgram } from '../support/debian-programs.js';
import { startSharedOctavo } from '../support/octavo-process.js';

const questions = (page: Page): Promise<string[]> => page.locator('.user .text').allTextContents();

/** The list, which the browser's answer changes a moment later. */
const expectChats = (page: Page, ...titles: string[]): Promise<void> =>
  expect.poll(() => page.locator('#chat-list .chat').allTextContents()).toEqual(titles);

describe.skipIf(!hasProgram('chromium'))('chats that the browser keeps, in Chromium', () => {
  let server: Awaited<ReturnType<typeof startSharedOctavo>>;
  let browser: TestBrowser;

  beforeAll(async () => {
    server = await startSharedOctavo(['--kv-cache-memory', '16MiB']);
    browser = await startChromium('light');
  });
  afterAll(async () => {
    await browser.close();
    server.kill();
  });

  /** Two chats, the second of which is open. */
  async function openTwo(): Promise<Page> {
    const page = await openChat(browser, server.url);
    await answerWith(page, { reasoning_content: 'Hm.' }, { content: 'Yes.' });
    await say(page, 'First?');
    await page.click('#new-chat');
    await say(page, 'Second?');
    await expectChats(page, 'Second?', 'First?');
    return page;
  }

  it('are listed, opened, and found again over a reload and by going back', async () => {
    const page = await openTwo();
    expect(await questions(page)).toEqual(['Second?']);
    await page.click('#chat-list >> text=First?');
    await expect.poll(() => questions(page)).toEqual(['First?']);
    expect(await page.getAttribute('#chat-list .open .chat', 'aria-current')).toBe('true');
    expect(await page.title()).toBe('First? · Octavo');
    await page.reload();
    await expect.poll(() => questions(page)).toEqual(['First?']);
    expect(await page.textContent('.reasoning div')).toBe('Hm.');
    await page.goBack();
    await expect.poll(() => questions(page)).toEqual(['Second?']);
    // What is asked goes on where it was opened, and the list begins with it.
    await page.click('#chat-list >> text=First?');
    await expect.poll(() => questions(page)).toEqual(['First?']);
    await answerWith(page, { content: 'Indeed.' });
    await say(page, 'Really?');
    expect(await questions(page)).toEqual(['First?', 'Really?']);
    await expectChats(page, 'First?', 'Second?');
    await page.close();
  });

  it('are renamed and deleted, one or all', async () => {
    const page = await openTwo();
    await page.click('#chat-list >> text=Rename');
    await page.fill('.rename input', 'Not kept');
    await page.press('.rename input', 'Escape');
    await expectChats(page, 'Second?', 'First?');
    await page.click('#chat-list >> text=Rename');
    expect(await violations(page)).toEqual([]);
    await page.fill('.rename input', 'The second');
    await page.press('.rename input', 'Enter');
    await expectChats(page, 'The second', 'First?');
    // Its name stays when it goes on.
    await say(page, 'More?');
    await expectChats(page, 'The second', 'First?');

    const asked: string[] = [];
    let isAgreed = false;
    page.on('dialog', (dialog) => {
      asked.push(dialog.message());
      void (isAgreed ? dialog.accept() : dialog.dismiss());
    });
    await page.click('#chat-list >> text=Delete');
    await expectChats(page, 'The second', 'First?');
    isAgreed = true;
    await page.click('#chat-list >> text=Delete');
    await expectChats(page, 'First?');
    expect(await page.isVisible('#welcome')).toBe(true);
    expect(await page.isVisible('#delete-all')).toBe(false);
    await say(page, 'Third?');
    await page.click('#delete-all');
    await expectChats(page);
    expect(await page.isVisible('#no-chats')).toBe(true);
    await page.reload();
    await page.waitForSelector('#no-chats', { state: 'visible' });
    expect(asked).toEqual([
      'Delete the chat "The second"?',
      'Delete the chat "The second"?',
      'Delete all chats of this browser?',
    ]);
    await page.close();
  });

  it('are each other’s where an answer is still written when another is opened', async () => {
    const page = await openTwo();
    const held: (() => Promise<void>)[] = [];
    await page.route('**/v1/chat/completions', (route) => {
      held.push(() => route.abort());
    });
    await page.fill('#input', 'Held?');
    await page.press('#input', 'Enter');
    await expect.poll(() => held.length).toBe(1);
    await page.click('#chat-list >> text=First?');
    await expect.poll(() => questions(page)).toEqual(['First?']);
    await page.waitForSelector('#send', { state: 'visible' });
    await page.click('#chat-list >> text=Second?');
    await expect.poll(() => questions(page)).toEqual(['Second?', 'Held?']);
    expect(await page.locator('.stats').last().textContent()).toBe('stopped');
    // One that is deleted meanwhile does not come back.
    await page.click('.action >> text=Retry >> visible=true');
    await expect.poll(() => held.length).toBe(2);
    page.on('dialog', (dialog) => void dialog.accept());
    await page.click('#chat-list >> text=Delete');
    await expectChats(page, 'First?');
    await page.reload();
    await expectChats(page, 'First?');
    await page.close();
  });

  it('say when the browser is full, and keep what they had', async () => {
    // Chromium asks for the room when the first chat is kept: before that, it must be small. What
    // has more than 64 KiB is kept apart, and counted otherwise.
    const small = await startChromium('light');
    onTestFinished(() => small.close());
    const page = await small.open(`${server.url}/docs`);
    const devtools = await small.context.newCDPSession(page);
    const { origin } = new URL(server.url);
    await devtools.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: 40_000 });
    await page.goto(server.url);
    await answerInTurn(page, [{ content: 'Yes.' }], [{ content: 'word '.repeat(10_000) }]);
    await say(page, 'First?');
    await expectChats(page, 'First?');
    await say(page, 'Too much?');
    await page.waitForSelector('#chats-error', { state: 'visible' });
    expect(await page.textContent('#chats-error')).toBe(
      'This browser does not keep the chat: it is full. Delete other chats, and ask again.',
    );
    expect(await violations(page)).toEqual([]);
    await page.reload();
    await expect.poll(() => questions(page)).toEqual(['First?', 'Too much?']);
    expect(await page.locator('.assistant .text').allTextContents()).toEqual(['Yes.']);
    await page.close();
  });

  it('stay out of a browser that keeps nothing, which says so and chats', async () => {
    const page = await browser.context.newPage();
    await page.addInitScript('delete IDBFactory.prototype.open');
    await page.goto(server.url);
    await page.waitForSelector('#chats-error', { state: 'visible' });
    expect(await page.textContent('#chats-error')).toMatch(/^This browser keeps no chats: /);
    await answerWith(page, { content: 'Yes.' });
    await say(page, 'Still?');
    expect(await questions(page)).toEqual(['Still?']);
    await page.close();
  });
});
