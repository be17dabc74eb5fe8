import { execFile } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const run = promisify(execFile);

let project: string;
let paths: string[];

/**
 * An empty project with the tarball in it, and its dependencies, which are here already: no network
 * is asked.
 */
beforeAll(async () => {
  project = mkdtempSync(join(tmpdir(), 'octavo-package-'));
  const flags = ['--ignore-scripts', '--json', '--pack-destination', project];
  const { stdout } = await run('npm', ['pack', ...flags], { cwd: ROOT, maxBuffer: 2 ** 26 });
  const [packed] = JSON.parse(stdout) as [
    { readonly filename: string; readonly files: readonly { readonly path: string }[] },
  ];
  paths = packed.files.map(({ path }) => path);
  const modules = join(project, 'node_modules');
  mkdirSync(join(modules, 'octavo'), { recursive: true });
  const tarball = join(project, packed.filename);
  await run('tar', ['-xzf', tarball, '--strip-components=1', '-C', join(modules, 'octavo')]);
  for (const name of readdirSync(join(ROOT, 'node_modules'))) {
    if (name.startsWith('.') || name === 'octavo') continue;
    symlinkSync(join(ROOT, 'node_modules', name), join(modules, name));
  }
  writeFileSync(join(project, 'package.json'), '{ "type": "module" }');
});

afterAll(() => rmSync(project, { recursive: true, force: true }));

const CONSUMER = `
import { createEngine, OctavoError, type ChatResult, type GenerateResult } from 'octavo';
import { createFetchHandler, octavo } from 'octavo/server';
import { fastify } from 'fastify';

await using engine = await createEngine({ kvDtype: 'int8', maxModelLen: 512 });
const answer = engine.chat([{ role: 'user', content: 'Hi' }], { temperature: 0, signal: AbortSignal.timeout(1000) });
for await (const { text, toolCalls } of answer) process.stdout.write(text + toolCalls.length);
const whole: ChatResult = await answer.result();
const [a, b]: GenerateResult[] = await engine.generate(['x', 'y'], { responseFormat: { type: 'json_object' } });
const one: GenerateResult = await engine.generate('x');
const vector: Float32Array = await engine.embed('x');
const app = fastify();
await app.register(octavo, { prefix: '/llm', engine, apiKey: ['k'] });
const response: Response = await createFetchHandler({ engine })(new Request('http://x.test/health'));
try { await one } catch (error) { if (error instanceof OctavoError) console.log(error.kind, error.code); }
// @ts-expect-error -- no such number format
await createEngine({ kvDtype: 'f8' });
console.log(whole.usage.totalTokens, a?.text, b?.finishReason, vector.length, response.status);
`;

describe('the package', () => {
  it('holds what runs, and nothing else', () => {
    const wrong = paths.filter((path) =>
      /\.map$|\.test\.|^(test|bench|deploy|engine|server|models\/octavo-tiny-\w+)\//.test(path),
    );
    expect(wrong).toEqual([]);
    for (const path of [
      'dist/engine/index.js',
      'dist/engine/index.d.ts',
      'dist/server/index.js',
      'dist/server/cli.js',
      'dist/engine/thread/worker.js',
      'models/octavo-tiny/onnx/model.onnx',
      'LICENSE',
    ]) {
      expect(paths).toContain(path);
    }
    // typebox lies in a few files.
    const bundled = paths.filter((path) => path.startsWith('dist/engine/typebox/'));
    expect(bundled.length).toBeLessThan(20);
    expect(bundled).toContain('dist/engine/typebox/LICENSE');
    const unbundled = paths.filter(
      (path) =>
        path.endsWith('.js') &&
        /^(import|export) .*'typebox(\/\w+)?'/m.test(readFileSync(join(ROOT, path), 'utf8')),
    );
    expect(unbundled).toEqual([]);
    // What else is in dist is of a source that is still there.
    const sources = paths
      .filter((path) => /^dist\/.*\.js$/.test(path) && !bundled.includes(path))
      .map((path) => path.slice('dist/'.length).replace(/\.js$/, '.ts'));
    expect(sources.length).toBeGreaterThan(300);
    expect(sources.filter((source) => !existsSync(join(ROOT, source)))).toEqual([]);
  });

  it('runs the library in an empty project', async () => {
    cpSync(join(ROOT, 'examples/library.mjs'), join(project, 'library.mjs'));
    const { stdout } = await run(process.execPath, ['library.mjs'], { cwd: project });
    expect(stdout).toMatch(/^The capital of France is Paris\.\n/);
    const cli = join(project, 'node_modules/octavo/dist/server/cli.js');
    const version = await run(process.execPath, [cli, '--version'], { cwd: project });
    expect(version.stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  it('computes without the telemetry of ONNX Runtime, which would leave files', async () => {
    const { ORT_DISABLE_TELEMETRY: _, ...env } = process.env;
    const home = join(project, 'home');
    mkdirSync(home);
    const cli = join(project, 'node_modules/octavo/dist/server/cli.js');
    const args = [cli, 'generate', 'Hi', '--max-tokens', '1'];
    await run(process.execPath, args, { cwd: project, env: { ...env, HOME: home } });
    expect(readdirSync(join(home, '.cache'))).toEqual(['octavo']);
  });

  it('has types that a strict program compiles with', async () => {
    writeFileSync(join(project, 'consumer.ts'), CONSUMER);
    const compilerOptions = {
      strict: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      target: 'es2022',
      lib: ['es2023', 'esnext.disposable'],
      module: 'nodenext',
      moduleResolution: 'nodenext',
      types: ['node'],
      noEmit: true,
      skipLibCheck: false,
    };
    writeFileSync(
      join(project, 'tsconfig.json'),
      JSON.stringify({ compilerOptions, files: ['consumer.ts'] }),
    );
    const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
    const { stdout } = await run(process.execPath, [tsc, '-p', project]).catch(
      (error: { stdout: string }) => error,
    );
    expect(stdout).toBe('');
  });
});
