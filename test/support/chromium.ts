import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BrowserContext, chromium, type Page } from 'playwright-core';

/** A browser without a window or background requests, and the errors of its pages. */
export interface TestBrowser {
  readonly context: BrowserContext;
  /** Errors of the console and of scripts, and requests to other hosts than `allowed`. */
  readonly complaints: string[];
  open(url: string): Promise<Page>;
  close(): Promise<void>;
}

/** Starts Debian's Chromium with a new profile. */
export async function startChromium(colorScheme: 'light' | 'dark'): Promise<TestBrowser> {
  const profile = mkdtempSync(join(tmpdir(), 'octavo-chromium-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: '/usr/bin/chromium',
    headless: true,
    colorScheme,
    viewport: { width: 1440, height: 900 },
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
  // Against hangs only.
  context.setDefaultTimeout(120_000);
  const complaints: string[] = [];
  return {
    context,
    complaints,
    open: async (url) => {
      const page = await context.newPage();
      page.on('console', (message) => {
        if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
      });
      page.on('pageerror', (error) => complaints.push(String(error)));
      page.on('request', (request) => {
        if (new URL(request.url()).host !== new URL(url).host) complaints.push(request.url());
      });
      await page.goto(url);
      return page;
    },
    close: async () => {
      await context.close();
      rmSync(profile, { recursive: true, force: true });
    },
  };
}
