// Compiles each kernel to one wasm file, written next to its sources and into dist for the compiled
// package.
import { cpSync, mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import asc from 'assemblyscript/asc';

const KERNELS = [
  {
    folder: 'attention/kernel',
    name: 'attention',
    // Threads share its memory.
    options: ['--enable', 'relaxed-simd', '--enable', 'threads', '--sharedMemory'],
    others: ['worker.mjs'],
  },
  { folder: 'importer/quantize/kernel', name: 'weights', options: [], others: [] },
];

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

for (const { folder, name, options, others } of KERNELS) {
  const output = here(`${folder}/build/${name}.wasm`);
  mkdirSync(here(`${folder}/build`), { recursive: true });
  const { error, stderr } = await asc.main([
    here(`${folder}/assembly/index.ts`),
    '--outFile',
    output,
    '-O3',
    '--noAssert',
    '--converge',
    '--runtime',
    'stub',
    '--enable',
    'simd',
    ...options,
    '--importMemory',
    '--initialMemory',
    '1',
    '--maximumMemory',
    '65536',
    '--baseDir',
    here(`${folder}/assembly`),
  ]);
  if (error) {
    process.stderr.write(`${stderr.toString()}\n${error.message}\n`);
    process.exit(1);
  }
  const dist = here(`../dist/engine/${folder}`);
  mkdirSync(`${dist}/build`, { recursive: true });
  cpSync(output, `${dist}/build/${name}.wasm`);
  for (const file of others) cpSync(here(`${folder}/${file}`), `${dist}/${file}`);
}
