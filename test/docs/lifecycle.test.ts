import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

const at = (path: string): URL => new URL(`../../${path}`, import.meta.url);
const read = (path: string): string => readFileSync(at(path), 'utf8');

/** Whether a file exports a function, class or value, or a method of a class that it exports. */
function exports(text: string, name: string): boolean {
  const [first, method] = name.split('.');
  const declared = new RegExp(
    `^export (async )?(function\\*? |abstract class |class |const )${first}\\b`,
    'm',
  );
  const defined =
    method === undefined || new RegExp(`^  (async )?\\*?${method}\\(`, 'm').test(text);
  return declared.test(text.replaceAll('async function', 'function')) && defined;
}

describe('docs/lifecycle.md', () => {
  const stations = [
    ...read('docs/lifecycle.md').matchAll(/^\| `([^`]+\.ts)` \| `([^`]+)` \| (.+) \|$/gm),
  ].map(([, file, name]) => ({ file, name }));

  it('names files that exist and what they export', () => {
    expect(stations.length).toBeGreaterThan(35);
    const wrong = stations.filter(
      ({ file, name }) => !existsSync(at(file)) || !exports(read(file), name),
    );
    expect(wrong).toEqual([]);
  });
});

describe('the spine in docs/structure.md', () => {
  const section =
    read('docs/structure.md').split('## Read these first')[1]?.split('\n## ')[0] ?? '';
  const files = [...section.matchAll(/^\d+\. `([^`]+\.ts)`/gm)].map(([, file]) => file);

  it('is at most 14 files, which exist', () => {
    expect(files.length).toBeGreaterThan(9);
    expect(files.length).toBeLessThanOrEqual(14);
    expect(files.filter((file) => !existsSync(at(file)))).toEqual([]);
  });

  it('is the one of CONTRIBUTING.md', () => {
    expect(read('CONTRIBUTING.md')).toContain('docs/structure.md#read-these-first');
  });
});

describe('CONTRIBUTING.md', () => {
  it('names scripts, files and folders that exist', () => {
    const text = read('CONTRIBUTING.md');
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    const named = [...text.matchAll(/npm run ([a-z:]+)/g)].map(([, script]) => script);
    expect(named.filter((script) => !(script in scripts))).toEqual([]);
    const paths = [
      ...text.matchAll(/`((?:engine|server|scheduler|kvcache|test|docs|bench)\/[\w./-]*)`/g),
    ].map(([, path]) => path);
    expect(paths.length).toBeGreaterThan(15);
    expect(paths.filter((path) => !existsSync(at(path)))).toEqual([]);
  });
});
