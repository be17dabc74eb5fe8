// Leaves in node_modules what serving needs on this machine's kind: node deploy/keep-runtime.mjs
// node_modules ONNX Runtime ships its libraries for every platform in one package; source maps and
// type declarations are for builders.
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const root = process.argv[2];
if (root === undefined) throw new Error('usage: keep-runtime.mjs <node_modules>');

const binaries = join(root, 'onnxruntime-node', 'bin', 'napi-v6');
const mine = join(process.platform, process.arch);
const found = readdirSync(binaries).flatMap((platform) =>
  readdirSync(join(binaries, platform)).map((arch) => join(platform, arch)),
);
// Another layout of the package must not end in an image that cannot start.
if (!found.includes(mine)) throw new Error(`${binaries} has no ${mine}, only ${found.join(', ')}`);
for (const other of found) {
  if (other !== mine) rmSync(join(binaries, other), { recursive: true });
}

const FOR_BUILDERS = /\.(map|d\.[cm]?ts)$/;
for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
  if (entry.isFile() && FOR_BUILDERS.test(entry.name)) rmSync(join(entry.parentPath, entry.name));
}
