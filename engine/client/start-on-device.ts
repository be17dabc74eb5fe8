import { type DeviceProbe, probeDevice } from '../device/probe/probe-device.js';
import type { ModelKind } from '../encoder/model-kind.js';
import { type ErrorName, OctavoError } from '../errors.js';
import {
  type ChosenDevice,
  engineOptions,
  type ModelPlaces,
  type StartSettings,
} from './engine-options.js';
import type { RestartableEngine } from './restarting-engine.js';
import type { WorkerEngineOptions } from './worker-engine.js';

/** Errors by which a GPU does not serve a model or a setting that the CPU may serve. */
const REFUSALS: ReadonlySet<ErrorName> = new Set([
  'device_unavailable',
  'model_unsupported',
  'usage',
]);

export interface DeviceStart {
  /** Starts an engine. */
  readonly start: (options: WorkerEngineOptions) => Promise<RestartableEngine>;
  /** What the model is; absent: a decoder. */
  readonly kind?: ModelKind;
  /** Receives what was decided, one line. */
  readonly say: (line: string) => void;
  /** Looks for a GPU; by default in a process of its own. */
  readonly probe?: () => Promise<DeviceProbe>;
}

export interface StartedOnDevice {
  readonly engine: RestartableEngine;
  /** With which it is started again. */
  readonly options: WorkerEngineOptions;
}

/**
 * Starts an engine on the device that `--device` asks for. `auto` takes a GPU, no software device,
 * where an engine with this model and these settings starts on it: its attention is right, it
 * expresses the model and holds the weights and the cache. Else the CPU computes.
 *
 * @throws OctavoError `device_unavailable`, and what `start` throws
 */
export async function startOnDevice(
  settings: StartSettings,
  model: ModelPlaces,
  { start, say, kind = 'decoder', probe = probeDevice }: DeviceStart,
): Promise<StartedOnDevice> {
  const startOn = async (chosen: ChosenDevice): Promise<StartedOnDevice> => {
    const options = engineOptions(settings, model, chosen, kind);
    return { engine: await start(options), options };
  };
  const { device } = settings;
  if (device === 'cpu') return startOn({ device });
  if (device === 'cuda') {
    return startOn({ device, facts: { name: 'an NVIDIA GPU (CUDA)', memoryBytes: null } });
  }
  const found = await probe();
  const { adapter } = found;
  if (device === 'webgpu') {
    if (adapter === null) throw noAdapter(found);
    const { name, memoryBytes } = adapter;
    if (adapter.isSoftware) say(`the GPU is software, the processor computes: ${name}`);
    return startOn({ device, facts: { name, memoryBytes } });
  }
  let reason = whyNot(found);
  if (adapter !== null && reason === null) {
    const { name, memoryBytes } = adapter;
    try {
      const started = await startOn({ device: 'webgpu', facts: { name, memoryBytes } });
      say(`--device auto: computes on ${name}`);
      return started;
    } catch (error) {
      if (!(error instanceof OctavoError && REFUSALS.has(error.kind))) throw error;
      reason = error.message;
    }
  }
  say(`--device auto: computes on the CPU: ${reason}`);
  return startOn({ device: 'cpu' });
}

/** Why `auto` does not try a GPU; null: it does. */
function whyNot({ adapter, problem, gpus }: DeviceProbe): string | null {
  if (adapter === null) {
    const there = gpus.map(({ name, id }) => name ?? id).join(', ');
    return gpus.length === 0 ? problem : `${problem}, and the machine has: ${there}`;
  }
  if (adapter.isSoftware) return `${adapter.name} is software, which only --device webgpu takes`;
  return problem;
}

function noAdapter({ problem }: DeviceProbe): OctavoError {
  return new OctavoError(
    'device_unavailable',
    `--device webgpu: ${problem}; octavo devices says what there is`,
  );
}
