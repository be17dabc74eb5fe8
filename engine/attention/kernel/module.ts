import { readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { OctavoError } from '../../errors.js';

/**
 * Exports of the kernel; see assembly/index.ts. All pointers are byte offsets in the instance's
 * memory.
 */
export interface KernelExports {
  storeKeysAndValues(layer: number, step: number): void;
  attendTasks(layer: number, step: number, scratch: number): void;
  recurTasks(layer: number, unused: number, scratch: number): void;
  readMemory(start: number, bytes: number): number;
}

/** Compiles the kernel; the module can be sent to other threads. */
export function compileKernel(): WebAssembly.Module {
  // Relaxed SIMD needs a flag in Node 20. It is on by default from 22 on, where the flag may be
  // removed.
  if (Number(process.versions.node.split('.')[0]) < 22) {
    setFlagsFromString('--experimental-wasm-relaxed-simd');
  }
  return new WebAssembly.Module(kernelBytes());
}

/** @throws OctavoError `engine_failed` when there is none */
export function kernelBytes(): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(readFileSync(new URL('./build/attention.wasm', import.meta.url)));
  } catch (cause) {
    throw new OctavoError('engine_failed', 'the attention kernel is not built: run npm run build', {
      cause,
    });
  }
}

export function instantiateKernel(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
): KernelExports {
  const imports = {
    env: {
      memory,
      abort: () => {
        throw new Error('the attention kernel has aborted');
      },
    },
  };
  return new WebAssembly.Instance(module, imports).exports as unknown as KernelExports;
}
