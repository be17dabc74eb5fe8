// Leaves in node_modules what serving needs on this machine's kind: node deploy/keep-runtime.mjs
// node_modules. ONNX Runtime and ZeroMQ ship libraries for every platform in one package; source
// maps and type declarations are for builders.
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const root = process.argv[2];
if (root === undefined) throw new Error('usage: keep-runtime.mjs <node_modules>');

const mine = join(process.platform, process.arch);

/**
 * Of libraries in folders `platform/arch`.
 *
 * @throws Error without this platform's: another layout of a package must not end in an image that
 *   cannot start
 */
function keepMine(binaries) {
  const found = readdirSync(binaries, { withFileTypes: true })
    .filter((platform) => platform.isDirectory())
    .flatMap(({ name }) => readdirSync(join(binaries, name)).map((arch) => join(name, arch)));
  if (!found.includes(mine))
    throw new Error(`${binaries} has no ${mine}, only ${found.join(', ')}`);
  for (const other of found) {
    if (other !== mine) rmSync(join(binaries, other), { recursive: true });
  }
}

keepMine(join(root, 'onnxruntime-node', 'bin', 'napi-v6'));
// For KV events; optional.
const zeromq = join(root, 'zeromq', 'build');
if (existsSync(zeromq)) keepMine(zeromq);

const FOR_BUILDERS = /\.(map|d\.[cm]?ts)$/;
for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
  if (entry.isFile() && FOR_BUILDERS.test(entry.name)) rmSync(join(entry.parentPath, entry.name));
}
