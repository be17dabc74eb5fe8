import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Type } from 'typebox';
import { clip } from '../../engine/clip.js';
import { OctavoError } from '../../engine/errors.js';
import type { DashboardSources } from '../dashboard/dashboard-feed.js';
import { DashboardFeeds } from '../dashboard/dashboard-feeds.js';
import type { InFlight } from '../http/in-flight.js';
import type { Models } from '../pool/models.js';
import type { TypedApp } from './typed-app.js';

/** Beside this folder, from the sources and from `dist`. */
const PAGES = fileURLToPath(new URL('../pages', import.meta.url));

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** Nothing from elsewhere, nothing inline, and no page of another site around it. */
const SECURITY = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  // A new version of the server must not meet half of the old page.
  'cache-control': 'no-cache',
};

/** The model that the dashboard shows; absent: all, if there are several. */
const Which = Type.Object({ model: Type.Optional(Type.String()) });

interface PageFile {
  readonly type: string;
  readonly content: Buffer;
}

/**
 * The chat page, the dashboard, the API's page, their files, and the dashboard's stream.
 *
 * @param mountPath what goes before every address; '' for a server at the root
 */
export function addPageRoutes(
  app: TypedApp,
  dashboard: Omit<DashboardSources, 'service' | 'names' | 'samples'> & {
    readonly inFlight: InFlight;
    readonly models: Models;
  },
  mountPath: string,
): void {
  const files = readPages(mountPath);
  const feeds = new DashboardFeeds(dashboard.models, dashboard);
  app.addHook('preClose', async () => feeds.close());

  const hidden = { schema: { hide: true } };
  const page = (name: string): PageFile => {
    const file = files.get(name);
    if (file) return file;
    throw new OctavoError('route_not_found', `no such route: GET /pages/${clip(name)}`);
  };
  for (const [path, name] of [
    ['/', 'chat.html'],
    ['/dashboard', 'dashboard.html'],
    ['/docs', 'docs.html'],
  ] as const) {
    const { type, content } = page(name);
    app.get(path, hidden, async (_request, reply) =>
      reply.headers(SECURITY).type(type).send(content),
    );
  }
  app.get(
    '/pages/:file',
    { schema: { hide: true, params: Type.Object({ file: Type.String() }) } },
    async (request, reply) => {
      const { type, content } = page(request.params.file);
      return reply.headers(SECURITY).type(type).send(content);
    },
  );
  app.get(
    '/dashboard/events',
    { schema: { hide: true, querystring: Which } },
    async (request, reply) => {
      dashboard.inFlight.assertAdmitting();
      feeds.add(reply, request.query.model);
    },
  );
}

/** All files by name. They are few and small, and no path from outside ever meets the disk. */
function readPages(mountPath: string): Map<string, PageFile> {
  const files = new Map<string, PageFile>();
  const add = (name: string, path: string): void => {
    const type = TYPES[extname(name)];
    if (!type) return;
    const content = readFileSync(path);
    files.set(name, {
      type,
      content: name.endsWith('.html') ? moved(content, mountPath) : content,
    });
  };
  for (const name of readdirSync(PAGES)) add(name, join(PAGES, name));
  const { resolve } = createRequire(import.meta.url);
  add('uplot.mjs', resolve('uplot/dist/uPlot.esm.js'));
  add('uplot.css', resolve('uplot/dist/uPlot.min.css'));
  add('marked.mjs', resolve('marked').replace('.umd.js', '.esm.js'));
  return files;
}

/** A page whose links lead below another path. */
function moved(page: Buffer, mountPath: string): Buffer {
  if (mountPath === '') return page;
  return Buffer.from(page.toString().replaceAll(/((?:href|src)=")\//g, `$1${mountPath}/`));
}
