import { allocationGraph } from '../../engine/device/block-graphs.js';
import { createDeviceSession } from '../../engine/device/device-session.js';
import { OctavoError } from '../../engine/errors.js';

/** Milliseconds for a test on a device, which may compile its kernels. */
export const DEVICE_TIMEOUT_MS = 600_000;

/**
 * Whether WebGPU finds a device, be it Mesa's software. Where it finds none, tests of it are
 * skipped and say so; CI installs one, and there its absence is an error.
 */
export async function hasWebGpu(): Promise<boolean> {
  try {
    const session = await createDeviceSession(allocationGraph());
    await session.release();
    return true;
  } catch (error) {
    if (!(error instanceof OctavoError) || error.kind !== 'device_unavailable') throw error;
    if (process.env['CI'] === 'true') throw error;
    console.log('skipped: WebGPU finds no device (install libvulkan1 and mesa-vulkan-drivers)');
    return false;
  }
}
