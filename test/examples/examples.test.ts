import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';

// They import `octavo` by its name, as any program does: of the compiled package (`npm run build`).
const EXAMPLES = fileURLToPath(new URL('../../examples/', import.meta.url));
const children: ChildProcess[] = [];

afterAll(() => {
  for (const child of children) child.kill('SIGKILL');
});

async function run(name: string): Promise<string[]> {
  const { stdout } = await promisify(execFile)(process.execPath, [EXAMPLES + name]);
  return stdout.trimEnd().split('\n');
}

describe('examples', () => {
  it('library', async () => {
    const lines = await run('library.mjs');
    expect(lines[0]).toBe('The capital of France is Paris.');
    expect(lines).toHaveLength(3);
    for (const line of lines.slice(1)) expect(line).toMatch(/^".*" \d+$/);
  });

  it('structured output', async () => {
    const text = (await run('structured-output.mjs')).join(' ');
    expect(text).toMatch(/^\{ city: '.*', size: '(small|large)' \}$/);
  });

  it('tools', async () => {
    const [call, ...answer] = await run('tools.mjs');
    expect(call).toMatch(/^get_weather\(\{.*"city".*"(Paris|Rome)".*\}\)$/);
    expect(answer.join('')).not.toBe('');
  });

  it('LangChain', async () => {
    expect((await run('langchain.mjs'))[0]).toBe('The capital of France is Paris.');
  });

  it('Fastify plugin', async () => {
    const child = spawn(process.execPath, [`${EXAMPLES}fastify-plugin.mjs`]);
    children.push(child);
    const [data] = (await new Promise((resolve) => {
      child.stdout.once('data', (chunk: Buffer) => resolve([chunk]));
    })) as [Buffer];
    const url = /listening on (\S+);/.exec(data.toString())?.[1] ?? '';
    expect(await (await fetch(url)).json()).toEqual({ hello: 'world' });
    const health = async (): Promise<number> => (await fetch(`${url}/llm/health`)).status;
    await expect.poll(health).toBe(200);
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    expect(await ended).toBe(0);
  });

  it('a route file as Next.js has them', async () => {
    const route = (await import(`${EXAMPLES}next-route.mjs`)) as {
      readonly GET: (request: Request) => Promise<Response>;
      readonly close: () => Promise<void>;
    };
    const response = await route.GET(new Request('http://site.test/api/llm/v1/models'));
    expect(await response.json()).toMatchObject({ data: [{ id: 'octavo-tiny' }] });
    await route.close();
  });
});
