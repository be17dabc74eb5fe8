import { expect, it } from 'vitest';
import { type StartSettings } from '../../../engine/client/engine-options.js';
import type { RestartableEngine } from '../../../engine/client/restarting-engine.js';
import { startOnDevice } from '../../../engine/client/start-on-device.js';
import type { WorkerEngineOptions } from '../../../engine/client/worker-engine.js';
import type { DeviceProbe } from '../../../engine/device/probe/probe-device.js';
import { type ErrorName, OctavoError } from '../../../engine/errors.js';
import { loadSettings } from '../../../server/config/load-settings.js';

const GPU: DeviceProbe = {
  gpus: [],
  adapter: { name: 'RTX 4070', driver: 'x.so', isSoftware: false, memoryBytes: 2 ** 33 },
  problem: null,
  attention: null,
};
const LAVAPIPE: DeviceProbe = {
  ...GPU,
  adapter: { name: 'llvmpipe', driver: 'lvp.so', isSoftware: true, memoryBytes: null },
};
const NONE: DeviceProbe = { ...GPU, adapter: null, problem: 'there is no GPU that WebGPU can use' };

it('float16 is for GPUs', async () => {
  const settings: StartSettings = loadSettings({ deviceDtype: ['float16'] }, {});
  const start = (): Promise<RestartableEngine> => Promise.reject(new Error('started'));
  const starting = startOnDevice(settings, { dir: '/model' }, { start, say: () => undefined });
  await expect(starting).rejects.toThrow('--device-dtype float16: is for a GPU');
});

/** Starts with a probe that has found something, and engines that fail on a GPU by some error. */
async function startWith(device: string, found: DeviceProbe | null, onGpu?: ErrorName) {
  const settings: StartSettings = loadSettings({ device: [device] }, {});
  const said: string[] = [];
  const started: WorkerEngineOptions[] = [];
  const result = await startOnDevice(
    settings,
    { dir: '/model' },
    {
      start: (options) => {
        started.push(options);
        if (options.device === 'webgpu' && onGpu) {
          return Promise.reject(new OctavoError(onGpu, 'layer 3 has a softcap'));
        }
        return Promise.resolve({} as RestartableEngine);
      },
      say: (line) => said.push(line),
      probe: () => (found ? Promise.resolve(found) : Promise.reject(new Error('probed'))),
    },
  );
  const { device: on, blockSize, maxNumBatchedTokens: stepTokens, deviceFacts } = result.options;
  return {
    said,
    tries: started.map((options) => options.device),
    on,
    blockSize,
    stepTokens,
    deviceFacts,
  };
}

it('cpu, the default, looks for no GPU', async () => {
  expect(await startWith('cpu', null)).toMatchObject({ on: 'cpu', blockSize: 16, said: [] });
});

it('auto takes a GPU on which the engine starts, with its block size', async () => {
  expect(await startWith('auto', GPU)).toEqual({
    said: ['--device auto: computes on RTX 4070'],
    tries: ['webgpu'],
    on: 'webgpu',
    blockSize: 32,
    stepTokens: 2048,
    deviceFacts: { name: 'RTX 4070', memoryBytes: 2 ** 33 },
  });
});

it.each([
  ['none', NONE, 'there is no GPU that WebGPU can use'],
  ['software', LAVAPIPE, 'llvmpipe is software, which only --device webgpu takes'],
  ['a driver that fails', { ...GPU, problem: 'ended by SIGSEGV' }, 'ended by SIGSEGV'],
] as const)('auto does not try %s, and says why', async (_, found, reason) => {
  expect(await startWith('auto', found)).toEqual({
    said: [`--device auto: computes on the CPU: ${reason}`],
    tries: ['cpu'],
    on: 'cpu',
    blockSize: 16,
    stepTokens: 512,
    deviceFacts: undefined,
  });
});

it.each(['model_unsupported', 'device_unavailable', 'usage'] as const)(
  'auto takes the CPU where the GPU refuses by %s',
  async (kind) => {
    const { said, tries, on } = await startWith('auto', GPU, kind);
    expect(said).toEqual(['--device auto: computes on the CPU: layer 3 has a softcap']);
    expect([tries, on]).toEqual([['webgpu', 'cpu'], 'cpu']);
  },
);

it('auto does not hide a model that no device can load', async () => {
  await expect(startWith('auto', GPU, 'model_file_corrupt')).rejects.toThrow(/softcap/);
});

it('webgpu takes software, and says so', async () => {
  const { said, on } = await startWith('webgpu', LAVAPIPE);
  expect(on).toBe('webgpu');
  expect(said).toEqual(['the GPU is software, the processor computes: llvmpipe']);
});

it('webgpu without a GPU is an error, and so are refusals', async () => {
  await expect(startWith('webgpu', NONE)).rejects.toThrow(
    '--device webgpu: there is no GPU that WebGPU can use; octavo devices says what there is',
  );
  await expect(startWith('webgpu', GPU, 'model_unsupported')).rejects.toThrow(/softcap/);
});

it('cuda is started without a look for WebGPU, in blocks that its kernel takes', async () => {
  const { said, on, blockSize } = await startWith('cuda', null);
  expect([said, on, blockSize]).toEqual([[], 'cuda', 256]);
});
