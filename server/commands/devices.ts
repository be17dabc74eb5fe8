import type { MachineGpu } from '../../engine/device/probe/device-logs.js';
import { type DeviceProbe, probeDevice } from '../../engine/device/probe/probe-device.js';
import { mib } from '../pool/cache-line.js';

export interface DevicesOptions {
  readonly asJson: boolean;
}

/**
 * `octavo devices`: prints the machine's GPUs, the one that WebGPU takes, and what the test of its
 * attention has found.
 *
 * @returns the exit code: 0 when a device, be it software, computes plain attention right
 */
export async function devices({ asJson }: DevicesOptions): Promise<number> {
  const probe = await probeAll();
  process.stdout.write(
    asJson ? `${JSON.stringify(probe, null, 2)}\n` : `${describeDevices(probe).join('\n')}\n`,
  );
  return isUsable(probe) ? 0 : 1;
}

/** Tests the device that there is: of a software one only what it can in seconds. */
async function probeAll(): Promise<DeviceProbe> {
  const found = await probeDevice();
  if (found.adapter === null) return found;
  const { name, isSoftware } = found.adapter;
  process.stderr.write(
    `octavo: tests the attention of ${name}, and may compile its kernels first\n`,
  );
  return probeDevice(isSoftware ? 'plain' : 'all');
}

const isUsable = ({ adapter, attention }: DeviceProbe): boolean =>
  adapter !== null && attention !== null && attention.plain === null;

/** Lines for a person. */
export function describeDevices(
  probe: DeviceProbe,
  platform: NodeJS.Platform = process.platform,
): string[] {
  const { gpus, adapter, problem, attention } = probe;
  const lines = ['GPUs of the machine, as the system lists them:'];
  lines.push(...(gpus.length > 0 ? gpus.map((gpu) => `  ${describeGpu(gpu)}`) : ['  none']));
  lines.push('', 'WebGPU (--device webgpu):');
  if (adapter === null) {
    lines.push(`  no device: ${problem}`, `  ${installHint(platform)}`);
    return lines;
  }
  const { name, driver, isSoftware, memoryBytes } = adapter;
  const kind = isSoftware ? 'software, the processor computes; --device auto leaves it' : 'a GPU';
  lines.push(`  ${name} (${kind})`);
  if (driver !== null) lines.push(`  driver: ${driver}`);
  lines.push(`  memory: ${memoryBytes === null ? 'not known' : mib(memoryBytes)}`);
  if (attention) {
    lines.push(`  attention: ${verdict(attention.plain)}`);
    for (const [text, reason] of [
      ['sliding windows', attention.windows],
      ['attention sinks', attention.sinks],
    ] as const) {
      const tested = isSoftware ? 'tested when a model has them' : verdict(reason);
      lines.push(`  ${text}: ${tested}`);
    }
  }
  if (problem !== null) lines.push(`  ${problem}`);
  return lines;
}

const verdict = (reason: string | null): string => (reason === null ? 'right' : `wrong: ${reason}`);

function describeGpu({ name, id, pciAddress, memoryBytes }: MachineGpu): string {
  const facts = [
    `PCI id ${id}`,
    ...(pciAddress === null ? [] : [`at ${pciAddress}`]),
    ...(memoryBytes === null ? [] : [mib(memoryBytes)]),
  ];
  return `${name ?? 'unknown maker'} (${facts.join(', ')})`;
}

function installHint(platform: NodeJS.Platform): string {
  if (platform === 'linux') {
    return (
      'install the Vulkan loader (libvulkan1) and a Vulkan driver: mesa-vulkan-drivers for AMD and Intel, ' +
      "NVIDIA's own for its cards; /dev/dri or /dev/nvidia* must be readable (docs/gpu.md)"
    );
  }
  if (platform === 'win32')
    return "install the GPU's driver: it must have Direct3D 12 (docs/gpu.md)";
  return 'Metal should be there: a virtual machine may have none (docs/gpu.md)';
}
