// Compiles the kernel to one wasm file, written next to the sources and into dist for the compiled
// package.
import { cpSync, mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import asc from 'assemblyscript/asc';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const output = here('build/attention.wasm');
mkdirSync(here('build'), { recursive: true });
const { error, stderr } = await asc.main([
  here('assembly/index.ts'),
  '--outFile',
  output,
  '-O3',
  '--noAssert',
  '--converge',
  '--runtime',
  'stub',
  '--enable',
  'simd',
  '--enable',
  'relaxed-simd',
  '--enable',
  'threads',
  '--importMemory',
  '--sharedMemory',
  '--initialMemory',
  '1',
  '--maximumMemory',
  '65536',
  '--baseDir',
  here('assembly'),
]);
if (error) {
  process.stderr.write(`${stderr.toString()}\n${error.message}\n`);
  process.exit(1);
}
const dist = here('../../../dist/engine/attention/kernel');
mkdirSync(`${dist}/build`, { recursive: true });
cpSync(output, `${dist}/build/attention.wasm`);
cpSync(here('worker.mjs'), `${dist}/worker.mjs`);
