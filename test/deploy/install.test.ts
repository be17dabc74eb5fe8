import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

interface Locked {
  readonly engines?: { readonly node?: string };
  readonly optional?: boolean;
  readonly dev?: boolean;
  readonly hasInstallScript?: boolean;
}

const read = (path: string): unknown => JSON.parse(readFileSync(`${ROOT}/${path}`, 'utf8'));

const { packages } = read('package-lock.json') as { packages: Record<string, Locked> };

/**
 * The package's script fetches hundreds of megabytes for CUDA, from a server that many machines
 * cannot reach, and the CPU needs none of them. Newer versions of npm ask `allowScripts`, older
 * ones run what the lock file says has a script: npm rewrites that line with each new version of
 * the package, and it must be taken out again.
 */
it("runs no install script of onnxruntime-node's", () => {
  expect(packages['node_modules/onnxruntime-node']).toBeDefined();
  expect(packages['node_modules/onnxruntime-node']?.hasInstallScript).toBeUndefined();
  const { allowScripts } = read('package.json') as { allowScripts: Record<string, boolean> };
  expect(allowScripts['onnxruntime-node']).toBe(false);
});

it('has no settings of npm that npm does not know', () => {
  expect(existsSync(`${ROOT}/.npmrc`)).toBe(false);
});

/** Whether Node 20 is in a range such as `>=18`, `^20.19.0 || >=22.12.0`. */
function takesNode20(range: string): boolean {
  return range.split('||').some((part) => {
    const [, operator = '', major = '0'] = /^\s*(>=|>|\^|~)?\s*v?(\d+)/.exec(part) ?? [];
    if (part.trim() === '*') return true;
    return operator.startsWith('>') ? Number(major) <= 20 : Number(major) === 20;
  });
}

it('installs on Node 20 without a warning about the engine', () => {
  // Clients that only tests use may ask for more: the Vercel AI SDK 7 wants Node 22.
  const unfit = Object.entries(packages).filter(
    ([, { engines, optional, dev }]) =>
      optional !== true && dev !== true && !takesNode20(engines?.node ?? '*'),
  );
  expect(unfit.map(([name, { engines }]) => `${name}: ${engines?.node}`)).toEqual([]);
});
