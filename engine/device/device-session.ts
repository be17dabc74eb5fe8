import { InferenceSession } from 'onnxruntime-node';
import { OctavoError, reasonOf } from '../errors.js';

/** What of ONNX Runtime computes. */
export type Provider = 'webgpu' | 'cuda';

export interface SessionSettings {
  /** Names of nodes that the CPU runs. */
  readonly cpuNodes?: readonly string[];
  /** Further options of ONNX Runtime's session. */
  readonly sessionConfig?: Readonly<Record<string, string>>;
}

export interface DeviceSessionOptions extends SessionSettings {
  /** Directory of the model's external data; null or absent when there is none. */
  readonly weightsDir?: string | null;
  /** Default: WebGPU. */
  readonly provider?: Provider;
  /** Whether outputs are new tensors on the device; absent: they come to the host. */
  readonly outputsOnDevice?: boolean;
}

/** How ONNX Runtime begins its message where there is no adapter. */
const NO_ADAPTER = /Failed to get a WebGPU adapter/;

/** What it says where a library of CUDA is missing; its log names the library. */
const NO_LIBRARY = /Failed to load shared library/;

/**
 * A session on the GPU. All sessions of WebGPU in a process share one device, so that a tensor made
 * by one may be fed to another, in the same thread.
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
  const { provider = 'webgpu' } = options;
  try {
    return await InferenceSession.create(model, {
      executionProviders: [
        { name: provider, ...(cpuNodes.length > 0 && { forceCpuNodeNames: cpuNodes }) },
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
    if (NO_LIBRARY.test(reason)) {
      throw new OctavoError(
        'device_unavailable',
        'CUDA: a library cannot be loaded; the line of ONNX Runtime above names it (docs/gpu.md lists what CUDA needs)',
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
