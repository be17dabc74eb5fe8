// What ONNX Runtime 1.30 and the Vulkan loader say of devices: they have no other way to tell.

/** A GPU of the machine, as the system tells ONNX Runtime; software devices are not among them. */
export interface MachineGpu {
  /** The name; null where the system tells numbers only. */
  readonly name: string | null;
  /** As in `10de:2684`: vendor and device. */
  readonly id: string;
  /** For example `0000:01:00.0`; null where it is not told. */
  readonly pciAddress: string | null;
  /** Its own memory; null where it is not told, or shared with the processor. */
  readonly memoryBytes: number | null;
}

/** The Vulkan device that a program has opened. */
export interface VulkanDevice {
  readonly name: string;
  /** Path of the driver. */
  readonly driver: string;
}

const DISCOVERED =
  /Discovered OrtHardwareDevice \{vendor_id:0x([0-9a-f]+), device_id:0x([0-9a-f]+), vendor:([^,]*), type:1, metadata: \[(.*?)\]\}/g;

/** Microsoft's: Windows lists its software device among the GPUs. */
const MICROSOFT = 0x1414;

/** Makers by the numbers that the PCI consortium has given them. */
const MAKERS: Readonly<Record<string, string>> = {
  '1002': 'AMD',
  '10de': 'NVIDIA',
  '8086': 'Intel',
  '106b': 'Apple',
};

/** The GPUs that ONNX Runtime's log of severity `info` lists. */
export function machineGpus(log: string): MachineGpu[] {
  const gpus: MachineGpu[] = [];
  for (const [, vendor, device, maker, entries] of log.matchAll(DISCOVERED)) {
    if (Number.parseInt(vendor, 16) === MICROSOFT) continue;
    const facts = new Map(
      entries.split(', ').map((entry) => entry.split('=', 2) as [string, string | undefined]),
    );
    const known = MAKERS[vendor.padStart(4, '0')];
    const named = maker.trim() || (known === undefined ? null : `${known} GPU`);
    gpus.push({
      name: facts.get('Description')?.trim() ?? named,
      id: `${vendor.padStart(4, '0')}:${device.padStart(4, '0')}`,
      pciAddress: facts.get('pci_bus_id') ?? null,
      memoryBytes: sizeOf(facts.get('DxgiVideoMemory')),
    });
  }
  return gpus;
}

/** `8151 MB`, as the log of Windows has it. */
function sizeOf(text: string | undefined): number | null {
  const [, figure, unit] = /^(\d+)\s*([MG])B$/.exec(text ?? '') ?? [];
  if (figure === undefined) return null;
  return Number(figure) * (unit === 'G' ? 2 ** 30 : 2 ** 20);
}

/** The device that a program has opened by Vulkan, by the log of its loader; null: none. */
export function openedByVulkan(log: string): VulkanDevice | null {
  const opened = [...log.matchAll(/Using "([^"]*)" with driver: "([^"]*)"/g)].at(-1);
  return opened ? { name: opened[1], driver: opened[2] } : null;
}

/** Whether the processor computes what a Vulkan driver is asked: Mesa's lavapipe, SwiftShader. */
export function isSoftware({ name, driver }: VulkanDevice): boolean {
  return /llvmpipe|swiftshader/i.test(name) || /_lvp\b|lavapipe|swiftshader/i.test(driver);
}
