import { attendLinearly } from './linear-attention';
import { STEP_NEXT_TASK, STEP_NUM_TASKS } from './layout';
import { RECURRENT_IS_CONVOLUTION, RECURRENT_NEXT_TASK, RECURRENT_NUM_TASKS, TASK_CHANNELS } from './recurrent-layout';
import { convolve } from './short-convolution';
import { storeStep } from './store';
import { runTask } from './tasks';

/**
 * Writes the step's K and V into the pages. Called by one thread before any thread attends: a step
 * may read what it has just written.
 */
export function storeKeysAndValues(layer: usize, step: usize): void {
  storeStep(layer, step);
}

/**
 * Takes tasks until none is left. Any number of threads may call it at once, each with its own
 * scratch.
 */
export function attendTasks(layer: usize, step: usize, scratch: usize): void {
  const tasks = load<i32>(step, STEP_NUM_TASKS);
  for (;;) {
    const task = atomic.add<i32>(step + STEP_NEXT_TASK, 1);
    if (task >= tasks) return;
    runTask(layer, step, task, scratch);
  }
}

/**
 * The same for a layer with a state: tasks are its heads, or groups of channels.
 *
 * @param unused for the same arguments as `attendTasks`
 */
export function recurTasks(layer: usize, unused: usize, scratch: usize): void {
  const tasks = load<i32>(layer, RECURRENT_NUM_TASKS);
  const isConvolution = load<i32>(layer, RECURRENT_IS_CONVOLUTION) != 0;
  for (;;) {
    const task = atomic.add<i32>(layer + RECURRENT_NEXT_TASK, 1);
    if (task >= tasks) return;
    if (isConvolution) convolve(layer, task * TASK_CHANNELS, (task + 1) * TASK_CHANNELS, scratch);
    else attendLinearly(layer, task);
  }
}

/** Sums `bytes` of memory by vector loads, to measure the memory's bandwidth. */
export function readMemory(start: usize, bytes: usize): f32 {
  let a = f32x4.splat(0), b = a, c = a, d = a;
  const end = start + bytes;
  for (let p = start; p < end; p += 64) {
    a = f32x4.add(a, v128.load(p));
    b = f32x4.add(b, v128.load(p, 16));
    c = f32x4.add(c, v128.load(p, 32));
    d = f32x4.add(d, v128.load(p, 48));
  }
  const sum = f32x4.add(f32x4.add(a, b), f32x4.add(c, d));
  return f32x4.extract_lane(sum, 0) + f32x4.extract_lane(sum, 1) + f32x4.extract_lane(sum, 2) + f32x4.extract_lane(sum, 3);
}
