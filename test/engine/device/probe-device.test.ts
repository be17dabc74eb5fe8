import { describe, expect, it } from 'vitest';
import { probeDevice, readProbe } from '../../../engine/device/probe/probe-device.js';
import { hasWebGpu } from '../../support/webgpu.js';

const ADAPTER = [{ adapter: true }] as const;
const END = { code: 0, signal: null, depth: 'adapter' } as const;
const opened = (name: string, driver: string): string =>
  `DRIVER | LAYER:          Using "${name}" with driver: "${driver}"\n`;
const CPU =
  'device_discovery_common.cc:34 operator()] Discovered OrtHardwareDevice {vendor_id:0x1022, device_id:0x0, vendor:AMD, type:0, metadata: []}\n';
const NVIDIA =
  'Discovered OrtHardwareDevice {vendor_id:0x10de, device_id:0x1e84, vendor:, type:1, metadata: [pci_bus_id=0000:01:00.0, Discrete=1, ]}\n';
const WINDOWS =
  'Discovered OrtHardwareDevice {vendor_id:0x10de, device_id:0x2860, vendor:NVIDIA, type:1, metadata: [Description=NVIDIA GeForce RTX 4070 Laptop GPU, Discrete=1, DxgiAdapterNumber=0, DxgiVideoMemory=7948 MB, LUID=77821, ]}\n' +
  'Discovered OrtHardwareDevice {vendor_id:0x1414, device_id:0x8c, vendor:Microsoft, type:1, metadata: [Description=Microsoft Basic Render Driver, LUID=1, ]}\n';

describe('what a probe has found', () => {
  it('lavapipe is software', () => {
    const log = CPU + opened('llvmpipe (LLVM 15.0.6, 256 bits)', '/usr/lib/libvulkan_lvp.so');
    expect(readProbe(ADAPTER, log, END, 'linux')).toEqual({
      gpus: [],
      adapter: {
        name: 'llvmpipe (LLVM 15.0.6, 256 bits)',
        driver: '/usr/lib/libvulkan_lvp.so',
        isSoftware: true,
        memoryBytes: null,
      },
      problem: null,
      attention: null,
    });
  });

  it('software is taken on a machine whose GPU WebGPU cannot use: it is still software', () => {
    const log = NVIDIA + opened('SwiftShader Device (LLVM 10.0.0)', 'libvk_swiftshader.so');
    const { gpus, adapter } = readProbe(ADAPTER, log, END, 'linux');
    expect(gpus).toMatchObject([{ name: 'NVIDIA GPU', id: '10de:1e84', memoryBytes: null }]);
    expect(adapter).toMatchObject({ isSoftware: true, memoryBytes: null });
  });

  it('a card with a Vulkan driver', () => {
    const log = NVIDIA + opened('NVIDIA GeForce RTX 2080', 'libGLX_nvidia.so.0');
    const { adapter } = readProbe(ADAPTER, log, END, 'linux');
    expect(adapter).toMatchObject({ name: 'NVIDIA GeForce RTX 2080', isSoftware: false });
  });

  it("a device that Vulkan's loader does not name counts as software", () => {
    expect(readProbe(ADAPTER, NVIDIA, END, 'linux').adapter?.isSoftware).toBe(true);
  });

  it('on Windows, with its name and memory; the software device there is no GPU', () => {
    const { gpus, adapter } = readProbe(ADAPTER, CPU + WINDOWS, END, 'win32');
    expect(gpus).toHaveLength(1);
    expect(adapter).toEqual({
      name: 'NVIDIA GeForce RTX 4070 Laptop GPU',
      driver: null,
      isSoftware: false,
      memoryBytes: 7948 * 2 ** 20,
    });
    expect(readProbe(ADAPTER, CPU, END, 'win32').adapter?.isSoftware).toBe(true);
  });

  it('a driver that crashes, before and after there was a device', () => {
    const crash = { code: null, signal: 'SIGSEGV' } as const;
    expect(readProbe([], CPU, { ...crash, depth: 'adapter' })).toMatchObject({
      adapter: null,
      problem: "the process that tried the GPU's driver ended by SIGSEGV",
    });
    expect(readProbe(ADAPTER, CPU, { ...crash, depth: 'plain' })).toMatchObject({
      adapter: { isSoftware: true },
      problem: "the process that tried the GPU's driver ended by SIGSEGV",
      attention: null,
    });
  });
});

describe.skipIf(!(await hasWebGpu()))('a device', () => {
  it('is found in a process of its own, with its name', async () => {
    const { adapter, problem } = await probeDevice();
    expect(adapter?.name).toMatch(/\w/);
    expect(problem).toBeNull();
  });
});
