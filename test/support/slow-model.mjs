// Loaded with --import before the program: the model takes a while for each step, however fast the
// machine is, so that a long answer is still being written when a test looks at it; and where
// LOAD_WHEN names a file, it is not loaded before that is there. Threads inherit the flag; the
// engine's is the one that has sessions.
import { existsSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { InferenceSession } from 'onnxruntime-node';

/** Of each segment, of which a step of the tiny model runs six. */
const STEP_MS = 1;
const FILE = process.env.LOAD_WHEN;

const mayLoad = () => FILE === undefined || existsSync(FILE);
const create = InferenceSession.create.bind(InferenceSession);
InferenceSession.create = async (...args) => {
  while (!mayLoad()) await setTimeout(10);
  return create(...args);
};

const run = InferenceSession.prototype.run;
InferenceSession.prototype.run = async function (...args) {
  await setTimeout(STEP_MS);
  return run.apply(this, args);
};
