import { readFileSync } from 'node:fs';
import { OctavoError } from '../../../errors.js';

/** Exports of the kernel; see assembly/index.ts. All pointers are byte offsets in its memory. */
export interface WeightExports {
  spreadErrors(
    errors: number,
    rows: number,
    count: number,
    factor: number,
    factorStride: number,
    target: number,
    stride: number,
    columns: number,
  ): void;
  subtractProducts(
    left: number,
    leftStride: number,
    right: number,
    rightStride: number,
    count: number,
    target: number,
    targetStride: number,
    rows: number,
    columns: number,
  ): void;
  widenAll(source: number, isBfloat: boolean, count: number, target: number): void;
  rowMaxima(floats: number, rows: number, columns: number, largest: number): void;
  columnMaxima(floats: number, rows: number, columns: number, largest: number): void;
  roundByRow(
    floats: number,
    rows: number,
    columns: number,
    first: number,
    end: number,
    factors: number,
    target: number,
  ): void;
  roundByColumn(
    floats: number,
    rows: number,
    columns: number,
    factors: number,
    target: number,
  ): void;
  roundTurned(
    floats: number,
    rows: number,
    columns: number,
    first: number,
    end: number,
    factors: number,
    scratch: number,
    target: number,
    stride: number,
  ): void;
  roundGroups8(
    floats: number,
    groups: number,
    size: number,
    values: number,
    scales: number,
  ): number;
  roundGroups4(
    floats: number,
    groups: number,
    size: number,
    tried: number,
    count: number,
    values: number,
    scales: number,
  ): number;
}

let compiled: WebAssembly.Module | null = null;

/** Compiles the kernel once for a thread. */
function compile(): WebAssembly.Module {
  const file = new URL('./build/weights.wasm', import.meta.url);
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = new Uint8Array(readFileSync(file));
  } catch (cause) {
    const message = 'the kernel that rounds weights is not built: run npm run build';
    throw new OctavoError('engine_failed', message, { cause });
  }
  return new WebAssembly.Module(bytes);
}

export function instantiateWeightKernel(memory: WebAssembly.Memory): WeightExports {
  compiled ??= compile();
  const abort = (): never => {
    throw new Error('the kernel that rounds weights has aborted');
  };
  const { exports } = new WebAssembly.Instance(compiled, { env: { memory, abort } });
  return exports as unknown as WeightExports;
}
