// A worker thread of the attention: sleeps until a layer is about to have tasks, then takes tasks
// until none is left. Plain JavaScript, because a worker from TypeScript sources would need a
// loader.
import { setFlagsFromString } from 'node:v8';
import { workerData } from 'node:worker_threads';

if (Number(process.versions.node.split('.')[0]) < 22) {
  setFlagsFromString('--experimental-wasm-relaxed-simd');
}
const { module, memories, scratch, control, entry, CONTROL, SPIN_MS } = workerData;
const abort = () => {
  throw new Error('the attention kernel has aborted');
};
const kernels = memories.map(
  (memory) => new WebAssembly.Instance(module, { env: { memory, abort } }).exports,
);

let seen = 0;
let announced = 0;
for (;;) {
  Atomics.wait(control, CONTROL.announced, announced);
  announced = Atomics.load(control, CONTROL.announced);
  const end = performance.now() + SPIN_MS;
  while (Atomics.load(control, CONTROL.generation) === seen && performance.now() < end);
  // Until the call comes, and not back to sleep: it is announced once.
  while (Atomics.load(control, CONTROL.generation) === seen) {
    Atomics.wait(control, CONTROL.generation, seen);
  }
  seen = Atomics.load(control, CONTROL.generation);
  if (Atomics.load(control, CONTROL.stop) !== 0) break;
  const group = control[CONTROL.group];
  try {
    kernels[group][entry](control[CONTROL.layer], control[CONTROL.step], scratch[group]);
  } catch {
    Atomics.store(control, CONTROL.failed, 1);
  }
  Atomics.sub(control, CONTROL.working, 1);
  Atomics.notify(control, CONTROL.working);
}
