import { expect, it } from 'vitest';
import { checkCudaLibraries } from '../../../engine/device/cuda-libraries.js';
import { modelDir } from '../../support/model-dir.js';

const SHARED = 'libonnxruntime_providers_shared.so';
const CUDA = 'libonnxruntime_providers_cuda.so';

it('is content with the two libraries of the provider', () => {
  const directory = modelDir({ [SHARED]: '', [CUDA]: '' });
  expect(() => checkCudaLibraries(directory, 'linux/x64')).not.toThrow();
});

it('says which one is missing, where, and how to get it', () => {
  const directory = modelDir({ [SHARED]: '' });
  expect(() => checkCudaLibraries(directory, 'linux/x64')).toThrow(
    `--device cuda: ${directory} has no ${CUDA}. This downloads them: ONNXRUNTIME_NODE_INSTALL=cuda12 node`,
  );
});

it('says where Node has no CUDA at all', () => {
  expect(() => checkCudaLibraries('/nowhere', 'win32/x64')).toThrow(
    'onnxruntime-node has CUDA for linux/x64 only, and this is win32/x64: take --device webgpu',
  );
});
