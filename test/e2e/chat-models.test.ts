import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { violations } from '../support/axe.js';
import { answerInTurn, answerWith, openChat, say } from '../support/chat-page.js';
import { startChromium, type TestBrowser } from '../support/chromium.js';
import { hasProgram } from '../support/debian-programs.js';
import { startSharedOctavo } from '../support/octavo-process.js';
import { dataUrl, picture, visionDir } from '../support/vision-fixtures.js';

const TINY = fileURLToPath(new URL('../../models/octavo-tiny', import.meta.url));
const ENCODER = fileURLToPath(new URL('../fixtures/encoders/models/minilm', import.meta.url));

const HOSTILE = [
  '<script>alert(1)</script>',
  '<img src="https://evil.example/a.png" onerror="alert(1)">',
  '![](https://evil.example/b.png "x")',
  '<svg/onload=alert(1)><iframe src="https://evil.example/"></iframe>',
  '[a](javascript:alert(1)) [b](JaVaScRiPt&colon;alert(1)) [c](data:text/html,<script>alert(1)</script>)',
  '[d](vbscript:x) <javascript:alert(1)> [e]: javascript:alert(1)\n[e]',
  '<style>*{display:none}</style><base href="https://evil.example/"><form action="https://evil.example/">',
  '<a href="https://evil.example" onclick="alert(1)">f</a> `<b onmouseover=alert(1)>`',
  '```html\n<script>alert(1)</script>\n```',
  '| <img src=x onerror=alert(1)> | b |\n|---|---|\n| [g](javascript:x) | 1 |',
].join('\n\n');

describe.skipIf(!hasProgram('chromium'))('a chat with several models, in Chromium', () => {
  let server: Awaited<ReturnType<typeof startSharedOctavo>>;
  let browser: TestBrowser;

  beforeAll(async () => {
    const models = [TINY, `small=${TINY}`, `eyes=${visionDir('smolvlm')}`, `vectors=${ENCODER}`];
    const flags = models.flatMap((model) => ['--model', model]);
    server = await startSharedOctavo(['--kv-cache-memory', '16MiB', ...flags]);
    browser = await startChromium('light');
  });
  afterAll(async () => {
    await browser.close();
    server.kill();
  });

  const note = (page: Page): Promise<string | null> => page.textContent('#model-note');
  const options = (page: Page): Promise<string[]> =>
    page.locator('#model option').allTextContents();

  it('shows which are loaded and what they can do, and wakes one', async () => {
    const page = await openChat(browser, server.url);
    const asleep = ['small (asleep)', 'eyes (asleep)', 'vectors (asleep)'];
    await expect.poll(() => options(page)).toEqual(['octavo-tiny (loaded)', ...asleep]);
    await expect.poll(() => note(page)).toBe('loaded · context of 2,048 tokens · calls tools');
    await page.selectOption('#model', 'vectors');
    await expect
      .poll(() => note(page))
      .toBe('asleep until it is asked · makes vectors, and cannot chat');
    await page.selectOption('#model', 'small');
    await expect.poll(() => note(page)).toBe('asleep until it is asked · calls tools');
    await page.fill('#temperature', '0');
    await say(page, 'What is the capital of France?');
    expect(await page.textContent('.assistant .text')).toBe('The capital of France is Paris.');
    expect(await page.textContent('.stats')).toMatch(/^small · 8 tokens · /);
    await expect.poll(() => options(page)).toContain('small (loaded)');
    // The choice and the fields stay in the browser.
    await page.reload();
    await expect.poll(() => page.inputValue('#model')).toBe('small');
    expect(await page.inputValue('#temperature')).toBe('0');
    await page.click('#reset-fields');
    expect(await page.inputValue('#temperature')).toBe('');
    expect(await page.inputValue('#model')).toBe('small');
    await page.close();
  });

  it('sends files as text, pictures to models that see, and refuses the rest in a line', async () => {
    const page = await openChat(browser, server.url);
    await expect.poll(() => note(page)).toMatch(/calls tools$/);
    const text = { name: 'notes.md', mimeType: 'text/markdown', buffer: Buffer.from('# Owl\n') };
    const photo = { name: 'wide.png', mimeType: 'image/png', buffer: picture('wide.png') };
    const binary = {
      name: 'a.zip',
      mimeType: 'application/zip',
      buffer: Buffer.from([80, 75, 0]),
    };
    const refused = (): Promise<string | null> => page.textContent('#file-error');
    await page.setInputFiles('#picker', [text, photo]);
    await expect.poll(refused).toBe('wide.png: this model does not see images.');
    await page.setInputFiles('#picker', binary);
    await expect.poll(refused).toBe('a.zip is not text: only texts are taken.');
    expect(await page.locator('#files .file').allTextContents()).toEqual(['notes.md · 6 bytes✕']);
    expect(await violations(page)).toEqual([]);
    const bodies: { messages: { content: unknown }[] }[] = [];
    page.on('request', (request) => {
      if (request.url().endsWith('/chat/completions')) {
        bodies.push(request.postDataJSON() as (typeof bodies)[number]);
      }
    });
    await page.fill('#max_tokens', '4');
    await say(page, 'What is it?');
    expect(bodies[0]?.messages[0]?.content).toBe('notes.md:\n```\n# Owl\n```\n\nWhat is it?');
    expect(await page.isVisible('#file-error')).toBe(false);

    await page.selectOption('#model', 'eyes');
    await expect.poll(() => note(page)).toMatch(/sees images$/);
    expect(await page.isDisabled('#tool_choice')).toBe(true);
    expect(await page.isVisible('#no-tools')).toBe(true);
    await page.click('#new-chat');
    await page.setInputFiles('#picker', [text, photo]);
    await page.click('[aria-label="Take notes.md away"]');
    expect(await violations(page)).toEqual([]);
    await say(page, 'What is it?');
    expect(await page.locator('.assistant .error').count()).toBe(0);
    expect(bodies[1]?.messages[0]?.content).toEqual([
      { type: 'image_url', image_url: { url: dataUrl('wide.png') } },
      { type: 'text', text: 'What is it?' },
    ]);
    await page.reload();
    // The loaded model says so itself, and not its files.
    await expect.poll(() => note(page)).toMatch(/^loaded · .* · sees images$/);
    await expect
      .poll(() =>
        page.evaluate(`document.querySelector('.user canvas[aria-label="wide.png"]')?.width`),
      )
      .toBe(50);
    expect(await violations(page)).toEqual([]);
    expect(browser.complaints).toEqual([]);
    await page.close();
  });

  it('runs the calculator by itself, folded, and asks for what only the reader knows', async () => {
    const page = await openChat(browser, server.url);
    const call = (id: string, name: string, text: string) => [
      { tool_calls: [{ index: 0, id, function: { name, arguments: text } }] },
    ];
    const asked = await answerInTurn(
      page,
      call('c1', 'calculator', '{"expression": "17 * 23"}'),
      call('c2', 'weather', '{}'),
      [{ content: 'It is 391.' }],
    );
    await page.selectOption('#tool_choice', 'required');
    await page.fill('#input', 'How much?');
    await page.press('#input', 'Enter');
    await page.waitForSelector('.results');
    expect(asked.map((body) => body['tool_choice'])).toEqual(['required', 'auto']);
    expect(asked[0]?.['tools']).toMatchObject([
      { function: { name: 'calculator' } },
      { function: { name: 'clock' } },
    ]);
    expect((asked[1]?.['messages'] as unknown[] | undefined)?.at(-1)).toEqual({
      role: 'tool',
      tool_call_id: 'c1',
      content: '391',
    });
    expect(await page.locator('.call summary').first().textContent()).toBe(
      'calculator {"expression": "17 * 23"} → 391',
    );
    expect(await page.isVisible('.call pre >> nth=0')).toBe(false);
    await page.click('.call summary >> nth=0');
    expect(await violations(page)).toEqual([]);
    await page.fill('.results input', 'rain');
    await page.press('.results input', 'Enter');
    await expect
      .poll(() => page.locator('.assistant .text').last().textContent())
      .toBe('It is 391.');
    await page.waitForSelector('#send', { state: 'visible' });
    await page.reload();
    await expect
      .poll(() => page.locator('.call summary').allTextContents())
      .toEqual(['calculator {"expression": "17 * 23"} → 391', 'weather {} → rain']);
    expect(await page.locator('.results').count()).toBe(0);
    await page.close();
  });

  it('lets hostile Markdown do nothing, while it comes and when it is kept', async () => {
    const page = await openChat(browser, server.url);
    const dialogs: string[] = [];
    page.on('dialog', (dialog) => {
      dialogs.push(dialog.message());
      void dialog.dismiss();
    });
    await answerWith(
      page,
      { reasoning_content: HOSTILE },
      ...Array.from(HOSTILE, (content) => ({ content })),
    );
    await say(page, HOSTILE);
    const found = (): Promise<string[]> =>
      page.evaluate(`Array.from(document.querySelectorAll('#messages :is(script, img, svg, iframe, style, base, object),' +
        ' #messages [onerror], #messages [onclick], #messages [onload], #messages a:not([href^=http])'), (node) => node.outerHTML)`);
    expect(await found()).toEqual([]);
    await page.reload();
    await page.waitForSelector('.assistant .code');
    expect(await found()).toEqual([]);
    expect(await page.locator('.assistant .code code').textContent()).toBe(
      '<script>alert(1)</script>',
    );
    expect(dialogs).toEqual([]);
    expect(browser.complaints).toEqual([]);
    await page.close();
  });

  it('says what went wrong: too many requests, a lost connection, a server that is gone', async () => {
    const page = await openChat(browser, server.url);
    const url = '**/v1/chat/completions';
    const error = (): Promise<string | null> => page.locator('.error').last().textContent();
    await page.route(url, (route) =>
      route.fulfill({
        status: 429,
        headers: { 'retry-after': '7' },
        json: { error: { message: 'too many requests' } },
      }),
    );
    await say(page, 'Hello');
    expect(await error()).toBe('too many requests (try again in 7 s)');
    expect(await page.getAttribute('.error', 'role')).toBe('alert');
    expect(await violations(page)).toEqual([]);
    await page.unroute(url);
    const cut = { choices: [{ index: 0, delta: { content: 'Half' }, finish_reason: null }] };
    await page.route(url, (route) =>
      route.fulfill({
        contentType: 'text/event-stream',
        body: `data: ${JSON.stringify(cut)}\n\n`,
      }),
    );
    await say(page, 'Hello');
    expect(await error()).toBe('the connection ended before the answer did');
    expect(await page.locator('.assistant .text').last().textContent()).toBe('Half');
    await page.unroute(url);
    await page.route(url, (route) => route.abort('connectionrefused'));
    await say(page, 'Hello');
    expect(await error()).toBe('the server cannot be reached');
    await page.close();
    browser.complaints.length = 0;
  });

  it('is spoken a block at a time, stops by Escape, and stands still when asked to', async () => {
    const page = await openChat(browser, server.url);
    await answerWith(page, { content: 'One.\n\n```js\nx\n```\n\nTwo' }, { content: ' words.' });
    await say(page, 'Speak.');
    expect(await page.locator('#spoken p').allTextContents()).toEqual([
      'The model is asked.',
      'One.',
      'A block of code.',
      'Two words.',
    ]);
    expect(await page.locator('#messages').getAttribute('aria-live')).toBe(null);

    await page.unroute('**/v1/chat/completions');
    const held: unknown[] = [];
    await page.route('**/v1/chat/completions', (route) => void held.push(route));
    await page.emulateMedia({ reducedMotion: 'reduce' });
    await page.fill('#input', 'Wait.');
    await page.press('#input', 'Enter');
    await expect.poll(() => held.length).toBe(1);
    const animation = `getComputedStyle(document.querySelector('.writing .text'), '::after').animationName`;
    expect(await page.evaluate(animation)).toBe('none');
    expect(await page.evaluate('document.activeElement.id')).toBe('input');
    await page.keyboard.press('Escape');
    await page.waitForSelector('#send', { state: 'visible' });
    expect(await page.locator('#spoken p').last().textContent()).toBe('Stopped.');
    expect(await page.evaluate('document.activeElement.id')).toBe('input');
    await page.close();
  });

  it.each(['light', 'dark'] as const)(
    'has no fault that axe knows, wide and narrow, in %s',
    async (colorScheme) => {
      const page = await openChat(browser, server.url);
      await page.emulateMedia({ colorScheme });
      await answerWith(
        page,
        { reasoning_content: 'Hm.' },
        { content: '# A\n\n`b` and\n\n> c\n\n| d |\n|---|\n| e |' },
      );
      await say(page, 'Everything?');
      await page.selectOption('#tool_choice', 'auto');
      await page.click('.more > summary');
      await page.click('.reasoning summary');
      for (const width of [1440, 1000, 390]) {
        await page.setViewportSize({ width, height: 800 });
        for (const id of ['chats', 'parameters'])
          await page.evaluate(`document.getElementById('${id}').open = true`);
        expect([width, await violations(page)]).toEqual([width, []]);
        expect(await page.evaluate('document.documentElement.scrollWidth - innerWidth')).toBe(0);
      }
      await page.close();
    },
  );
});
