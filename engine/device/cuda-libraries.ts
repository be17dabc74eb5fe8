import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { OctavoError } from '../errors.js';

/** Files of ONNX Runtime's provider for CUDA, which the npm package does not have in it. */
const FILES = ['libonnxruntime_providers_shared.so', 'libonnxruntime_providers_cuda.so'];

/** Where onnxruntime-node has its libraries on Linux x64, the only system with CUDA for Node. */
function librariesDir(): string {
  const main = createRequire(import.meta.url).resolve('onnxruntime-node');
  return join(dirname(main), '..', 'bin', 'napi-v6', 'linux', 'x64');
}

/**
 * @param directory of ONNX Runtime's libraries
 * @throws OctavoError `device_unavailable`: what is missing, and how to get it
 */
export function checkCudaLibraries(
  directory = librariesDir(),
  system = `${process.platform}/${process.arch}`,
): void {
  if (system !== 'linux/x64') {
    throw new OctavoError(
      'device_unavailable',
      `--device cuda: onnxruntime-node has CUDA for linux/x64 only, and this is ${system}: take --device webgpu`,
    );
  }
  const missing = FILES.filter((file) => !existsSync(join(directory, file)));
  if (missing.length === 0) return;
  throw new OctavoError(
    'device_unavailable',
    `--device cuda: ${directory} has no ${missing.join(' and no ')}. This downloads them: ` +
      'ONNXRUNTIME_NODE_INSTALL=cuda12 node node_modules/onnxruntime-node/script/install.js ' +
      '(docs/gpu.md says what else CUDA needs)',
  );
}
