// Writes typebox, which consists of 700 small modules, into a few files beside the compiled ones,
// and has these import them. Node resolves, opens and compiles each file of an import by itself, in
// each thread: typebox was half of all that the engine's thread loads. Types still come from the
// package.
import { copyFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const IMPORT = /^(import .*? from |import |export .*? from )'(typebox(?:\/\w+)?)';$/gm;

const dist = fileURLToPath(new URL('../dist', import.meta.url));
const folder = join(dist, 'engine/typebox');
const modules = readdirSync(dist, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.js'))
  .map((file) => ({ file: join(dist, file), source: readFileSync(join(dist, file), 'utf8') }));

const imported = new Set(
  modules.flatMap(({ source }) => [...source.matchAll(IMPORT)].map((match) => match[2])),
);
/** `typebox/value` is `value.js` there. */
const nameOf = (specifier) => specifier.split('/')[1] ?? 'index';
const pathOf = (specifier) => fileURLToPath(import.meta.resolve(specifier));

await build({
  entryPoints: [...imported].map((each) => ({ in: pathOf(each), out: nameOf(each) })),
  outdir: folder,
  bundle: true,
  // What several entries have in common exists once: typebox keeps its settings in a module.
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  logLevel: 'warning',
});
copyFileSync(join(dirname(pathOf('typebox')), '../license'), join(folder, 'LICENSE'));

for (const { file, source } of modules) {
  const changed = source.replace(IMPORT, (_, clause, specifier) => {
    const path = relative(dirname(file), join(folder, `${nameOf(specifier)}.js`));
    const local = path.split(sep).join('/');
    return `${clause}'${local.startsWith('.') ? local : `./${local}`}';`;
  });
  if (changed !== source) writeFileSync(file, changed);
}
