import { KERNEL_STEPS } from './warm-up.js';

/** The test of the device's attention, the model with the check of its rows, and the warm-up. */
const STAGES = 2 + KERNEL_STEPS;

/** Milliseconds after which a line is due. */
const QUIET_MS = 2000;

/**
 * Says how far the start on a device is, which takes seconds, and on some devices minutes when it
 * compiles its kernels for the first time: no timer could, because compiling blocks the thread.
 *
 * @returns what is to be called before each stage; the first one is always said
 */
export function kernelStages(say: (line: string) => void, now: () => number): () => void {
  let stage = 0;
  let lastSaid = Number.NEGATIVE_INFINITY;
  return () => {
    stage += 1;
    if (now() < lastSaid + QUIET_MS) return;
    lastSaid = now();
    say(
      `the GPU compiles kernels, or loads those of an earlier start: stage ${stage} of ${STAGES}`,
    );
  };
}
