import { InferenceSession } from 'onnxruntime-node';
import { OctavoError, reasonOf } from '../errors.js';

export interface DeviceSessionOptions {
  /** Names of nodes that the CPU runs. */
  readonly cpuNodes?: readonly string[];
  /** Directory of the model's external data; null or absent when there is none. */
  readonly weightsDir?: string | null;
  /** Further options of ONNX Runtime's session. */
  readonly sessionConfig?: Readonly<Record<string, string>>;
  /** Whether outputs are new tensors on the device; absent: they come to the host. */
  readonly outputsOnDevice?: boolean;
}

/** How ONNX Runtime begins its message where there is no adapter. */
const NO_ADAPTER = /Failed to get a WebGPU adapter/;

/**
 * A session on the GPU, through WebGPU. All sessions of a process share one device, so that a
 * tensor made by one may be fed to another, in the same thread.
 *
 * Never call `getData()` of a tensor on the device: it ends the process (ONNX Runtime 1.30).
 *
 * @throws OctavoError `device_unavailable` without a GPU; `model_unsupported` when ONNX Runtime
 *   refuses the graph
 */
export async function createDeviceSession(
  model: Uint8Array,
  options: DeviceSessionOptions = {},
): Promise<InferenceSession> {
  const { cpuNodes = [], weightsDir = null, sessionConfig = {}, outputsOnDevice = false } = options;
  try {
    return await InferenceSession.create(model, {
      executionProviders: [
        { name: 'webgpu', ...(cpuNodes.length > 0 && { forceCpuNodeNames: cpuNodes }) },
      ],
      // Warnings say of every graph that the CPU runs some of its nodes.
      logSeverityLevel: 3,
      enableMemPattern: false,
      // (With a preferred location, fetches that are given are ignored: nothing is done in place.)
      ...(outputsOnDevice && { preferredOutputLocation: 'gpu-buffer' }),
      extra: {
        session: {
          force_spinning_stop: '1',
          ...sessionConfig,
          ...(weightsDir !== null && { model_external_initializers_file_folder_path: weightsDir }),
        },
      },
    });
  } catch (cause) {
    const reason = reasonOf(cause);
    if (NO_ADAPTER.test(reason)) {
      throw new OctavoError(
        'device_unavailable',
        'there is no GPU that WebGPU can use (on Linux: a Vulkan driver and libvulkan1 are needed)',
        { cause },
      );
    }
    throw new OctavoError(
      'model_unsupported',
      `ONNX Runtime refuses the graph on the GPU: ${reason}`,
      {
        cause,
      },
    );
  }
}
