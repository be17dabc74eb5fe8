import axe from 'axe-core';
import type { Page } from 'playwright-core';

/**
 * What axe-core finds on a page as it is now: a line for each rule that is broken, with its
 * elements.
 */
export async function violations(page: Page): Promise<string[]> {
  // Through the debugger: the page's Content-Security-Policy takes no script from elsewhere.
  await page.evaluate(axe.source);
  const found = await page.evaluate(
    `axe.run().then(({ violations }) => violations.map(({ id, nodes }) =>
      id + ': ' + nodes.map(({ html }) => html.slice(0, 160)).join(' ')))`,
  );
  return found as string[];
}
