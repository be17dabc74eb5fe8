// Loaded with --import before the program: the GPU fails in the middle. A session of a decoder
// throws, as ONNX Runtime does when WebGPU has lost its device, once it has run so many times;
// runs of a warm-up count. Each engine's thread begins to count at zero.
import { InferenceSession } from 'onnxruntime-node';

let left = Number(process.env.FAIL_AFTER_RUNS);
const create = InferenceSession.create.bind(InferenceSession);

InferenceSession.create = async (...args) => {
  const session = await create(...args);
  if (!session.inputNames.includes('input_ids')) return session;
  const run = session.run.bind(session);
  session.run = async (...inputs) => {
    left--;
    if (left < 0) throw new Error('WebGPU device lost: injected');
    return run(...inputs);
  };
  return session;
};
