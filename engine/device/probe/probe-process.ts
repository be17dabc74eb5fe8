import { env } from 'onnxruntime-node';
import { type AttentionShape, plainAttention } from '../../attention/paged-attention.js';
import { reasonOf } from '../../errors.js';
import type { DeviceAbilities } from '../../importer/emit/refuse-sites.js';
import { allocationGraph } from '../block-graphs.js';
import { createDeviceSession } from '../device-session.js';
import { testDevice } from '../self-test.js';

// The process in which a device is tried: `probe-device.ts` starts it. ONNX Runtime and the Vulkan
// loader name devices in their logs only, and both logs go to standard error, where this process
// may not be disturbed by others. What was found goes to standard output, one JSON object a line.

/** A line of the answer. */
export type ProbeLine =
  | { readonly adapter: true }
  /** WebGPU gives no device: why. */
  | { readonly problem: string }
  | { readonly attention: DeviceAbilities };

/** What of attention is tested. */
export type ProbedForms = 'all' | 'plain';

/**
 * The forms that many models have. A software device compiles their kernels for minutes, so that it
 * is asked for the plain form only, in small heads.
 */
function formsOf(asked: ProbedForms): AttentionShape[] {
  const headSize = asked === 'all' ? 64 : 16;
  const plain = plainAttention(4, 2, headSize);
  if (asked === 'plain') return [plain];
  return [
    { ...plain, slidingWindow: 4096 },
    { ...plain, sinks: Float32Array.of(0.5, -1, 0, 1) },
  ];
}

/** Tokens of a block, as a server has by default. */
const BLOCK_SIZE = 32;

const say = (line: ProbeLine): boolean => process.stdout.write(`${JSON.stringify(line)}\n`);

async function testAttention(asked: ProbedForms): Promise<DeviceAbilities> {
  try {
    return await testDevice(formsOf(asked), BLOCK_SIZE);
  } catch (error) {
    // A kernel that the device cannot run at all.
    const reason = reasonOf(error);
    return { plain: reason, windows: reason, sinks: reason };
  }
}

// Says which devices the machine has.
env.logLevel = 'info';
try {
  const session = await createDeviceSession(allocationGraph());
  await session.release();
  say({ adapter: true });
  const asked = process.argv[2];
  if (asked === 'all' || asked === 'plain') say({ attention: await testAttention(asked) });
} catch (error) {
  say({ problem: reasonOf(error) });
}
