import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { violations } from '../support/axe.js';
import { answerWith, openChat, say } from '../support/chat-page.js';
import { startChromium, type TestBrowser } from '../support/chromium.js';
import { hasProgram } from '../support/debian-programs.js';
import { startSharedOctavo } from '../support/octavo-process.js';

const texts = (page: Page, selector: string): Promise<string[]> =>
  page.locator(selector).allTextContents();

const MARKDOWN = `# Sorting

It is **quick** and \`small\`, says [a page](https://example.org) but not [this](javascript:alert(1)).

\`\`\`js
const x = '<b>';
\`\`\`

- one
- two

| n | time |
|---|------|
| 1 | 2 ms |

<img src=x onerror=alert(1)> ![owl](https://example.org/owl.png)`;

describe.skipIf(!hasProgram('chromium'))('the chat page, in Chromium', () => {
  let server: Awaited<ReturnType<typeof startSharedOctavo>>;
  let browser: TestBrowser;

  beforeAll(async () => {
    server = await startSharedOctavo(['--kv-cache-memory', '32MiB']);
    browser = await startChromium('light');
    await browser.context.grantPermissions(['clipboard-read', 'clipboard-write']);
  });
  afterAll(async () => {
    await browser.close();
    server.kill();
  });

  it('shows Markdown, and HTML as it was written', async () => {
    const page = await openChat(browser, server.url);
    expect(await violations(page)).toEqual([]);
    await answerWith(
      page,
      { reasoning_content: 'Hm.' },
      ...Array.from(MARKDOWN, (content) => ({ content })),
    );
    await say(page, 'Sort.');
    expect(await texts(page, '.assistant .level-1')).toEqual(['Sorting']);
    expect(await texts(page, '.assistant strong')).toEqual(['quick']);
    expect(await texts(page, '.assistant pre code')).toEqual(["const x = '<b>';"]);
    expect(await texts(page, '.assistant li')).toEqual(['one', 'two']);
    expect(await texts(page, '.assistant td')).toEqual(['1', '2 ms']);
    expect(await texts(page, '.assistant a')).toEqual(['a page', 'owl']);
    expect(await texts(page, '.assistant .text > p')).toEqual([
      'It is quick and small, says a page but not [this](javascript:alert(1)).',
      '<img src=x onerror=alert(1)> owl',
    ]);
    expect(await page.locator('#messages img').count()).toBe(0);
    await page.click('.copy');
    const clipboard = (): Promise<string> => page.evaluate('navigator.clipboard.readText()');
    expect(await clipboard()).toBe("const x = '<b>';");
    await page.click('.assistant .action >> text=Copy');
    expect(await clipboard()).toBe(MARKDOWN);
    expect(await violations(page)).toEqual([]);
    await page.click('#theme');
    expect(await violations(page)).toEqual([]);
    await page.click('#theme');
    expect(browser.complaints).toEqual([]);
    await page.close();
  });

  it('makes only harmless elements of any text, in pieces as at once', async () => {
    const page = await browser.open(server.url);
    const wrong = await page.evaluate(`import('/pages/markdown.mjs').then(({ showMarkdown }) => {
      const parts = ['<script>x</script>', '<img src=x onerror=y>', '<a href="javascript:x">', '[a](', 'javascript:x', 'JaVaScRiPt:x',
        'data:text/html,x', ')', '![', '](', 'https://e.org', '<https://e.org>', '<javascript:x>', '\\n', '\\n\\n', '- ', '1. ', '> ', '# ',
        '\`', '\`\`\`', '~~~', '|', '|---|', '*', '**', '_', '~~', '&lt;', '&#106;', '\\\\', '    ', 'word ', '[x]: javascript:y\\n', '[x]', '- [ ] '];
      const tags = new Set(['H2','P','DIV','SPAN','BUTTON','PRE','CODE','BLOCKQUOTE','UL','OL','LI','TABLE','TR','TH','TD','HR','BR','STRONG','EM','DEL','A']);
      const attributes = new Set(['class','href','rel','target','type','tabindex','start']);
      let seed = 1;
      const next = (n) => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) % n;
      const wrong = [];
      const check = (root, text) => {
        for (const node of root.querySelectorAll('*')) {
          const names = node.getAttributeNames();
          const bad = !tags.has(node.tagName) || names.some((name) => !attributes.has(name)) ||
            (node.hasAttribute('href') && !/^(https?|mailto):/.test(node.href));
          if (bad) wrong.push([text, node.outerHTML]);
        }
      };
      for (let i = 0; i < 1500; i++) {
        const [root, grown] = [document.createElement('div'), document.createElement('div')];
        let text = '';
        for (let k = next(14); k >= 0; k--) {
          text += parts[next(parts.length)];
          showMarkdown(grown, text);
        }
        showMarkdown(root, text);
        check(root, text);
        if (root.innerHTML !== grown.innerHTML) wrong.push([text, 'grown otherwise', root.innerHTML, grown.innerHTML]);
      }
      for (const deep of ['>'.repeat(20000), '- '.repeat(5000), '['.repeat(3000), '*a **b '.repeat(2000)]) {
        const root = document.createElement('div');
        showMarkdown(root, deep + 'x');
        check(root, deep.slice(0, 9));
        if (!root.textContent.includes('x')) wrong.push([deep.slice(0, 9), 'lost']);
      }
      return wrong.slice(0, 5);
    })`);
    expect(wrong).toEqual([]);
    await page.close();
  });

  it('tries an answer again, edits the last question, and keeps the chat over a reload', async () => {
    const page = await openChat(browser, server.url);
    const asked = await answerWith(page, { content: 'Yes.' });
    await say(page, 'First?');
    await say(page, 'Second?');
    // Only the last of each.
    expect(await page.locator('.action >> text=Retry >> visible=true').count()).toBe(1);
    expect(await page.locator('.action >> text=Edit >> visible=true').count()).toBe(1);
    const last = () => asked.at(-1)?.['messages'];
    const before = last();
    await page.click('.action >> text=Retry >> visible=true');
    await expect.poll(() => asked.length).toBe(3);
    expect(last()).toEqual(before);
    await page.waitForSelector('.assistant >> nth=1 >> .actions');
    await page.click('.action >> text=Edit >> visible=true');
    await page.press('.edit textarea', 'Escape');
    expect(await texts(page, '.user .text')).toEqual(['First?', 'Second?']);
    await page.click('.action >> text=Edit >> visible=true');
    expect(await violations(page)).toEqual([]);
    await page.fill('.edit textarea', 'Third?');
    await page.click('.edit >> text=Send');
    await expect.poll(() => asked.length).toBe(4);
    expect(last()).toEqual([
      { role: 'user', content: 'First?' },
      { role: 'assistant', content: 'Yes.' },
      { role: 'user', content: 'Third?' },
    ]);
    await page.waitForSelector('#send', { state: 'visible' });
    await page.waitForSelector('.assistant >> nth=1 >> .actions');
    await page.reload();
    await page.waitForSelector('.assistant >> nth=1');
    expect(await texts(page, '.user .text')).toEqual(['First?', 'Third?']);
    expect(await texts(page, '.assistant .text')).toEqual(['Yes.', 'Yes.']);
    await say(page, 'Fourth?');
    await expect.poll(() => asked.length).toBe(5);
    expect(last()).toHaveLength(5);
    await page.click('#new-chat');
    await page.reload();
    expect(await page.locator('.message').count()).toBe(0);
    expect(await page.isVisible('#welcome')).toBe(true);
    await page.close();
  });

  it('sends tools and a schema, refuses what is no JSON, and gives results back', async () => {
    const page = await openChat(browser, server.url);
    const called = { index: 0, id: 'c1', function: { name: 'get_weather', arguments: '{}' } };
    const asked = await answerWith(page, { tool_calls: [called] });
    await page.click('.more > summary');
    await page.fill('#schema', '{"type": ');
    await say(page, 'Rome?');
    expect(asked).toEqual([]);
    expect(await page.textContent('#schema-error')).toMatch(/^No JSON: /);
    expect(await violations(page)).toEqual([]);
    await page.fill('#schema', '{"type": "object"}');
    expect(await page.isVisible('#tools')).toBe(false);
    await page.selectOption('#tool_choice', 'auto');
    await page.uncheck('#page_tools');
    await page.fill(
      '#tools',
      JSON.stringify([{ type: 'function', function: { name: 'get_weather' } }]),
    );
    await page.click('.action >> text=Retry');
    await page.waitForSelector('.results');
    expect(await page.isVisible('#schema-error')).toBe(false);
    expect(asked[0]).toMatchObject({
      messages: [{ role: 'user', content: 'Rome?' }],
      tool_choice: 'auto',
      tools: [{ type: 'function', function: { name: 'get_weather' } }],
      response_format: { type: 'json_schema', json_schema: { schema: { type: 'object' } } },
    });
    expect(await violations(page)).toEqual([]);
    await page.fill('.results input', '21 degrees');
    await page.press('.results input', 'Enter');
    await expect.poll(() => asked.length).toBe(2);
    expect((asked[1]?.['messages'] as unknown[] | undefined)?.slice(1)).toEqual([
      {
        role: 'assistant',
        content: '',
        tool_calls: [{ id: 'c1', type: 'function', function: called.function }],
      },
      { role: 'tool', tool_call_id: 'c1', content: '21 degrees' },
    ]);
    await page.close();
  });

  it('asks an example at a click', async () => {
    const page = await openChat(browser, server.url);
    await page.fill('#temperature', '0');
    await page.click('.examples >> text=capital');
    await page.waitForSelector('.stats');
    expect(await texts(page, '.assistant .text')).toEqual(['The capital of France is Paris.']);
    await page.close();
  });
});
