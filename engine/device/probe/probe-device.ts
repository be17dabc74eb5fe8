import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { DeviceAbilities } from '../../importer/emit/refuse-sites.js';
import { isSoftware, type MachineGpu, machineGpus, openedByVulkan } from './device-logs.js';
import type { ProbedForms, ProbeLine } from './probe-process.js';

/** What there is to compute on besides the CPU, as far as it can be known. */
export interface DeviceProbe {
  /** Of the machine, whether WebGPU can use them or not. */
  readonly gpus: readonly MachineGpu[];
  /** What WebGPU takes; null: nothing. */
  readonly adapter: Adapter | null;
  /** Why there is no adapter, or what failed afterwards; null: nothing. */
  readonly problem: string | null;
  /** What the test of attention has found; null where it was not asked or not reached. */
  readonly attention: DeviceAbilities | null;
}

export interface Adapter {
  readonly name: string;
  /** Path of the Vulkan driver; null with Metal and Direct3D. */
  readonly driver: string | null;
  /** The processor computes. */
  readonly isSoftware: boolean;
  /** Null: not known, or shared with the processor. */
  readonly memoryBytes: number | null;
}

/** Attention is also compared with the reference, which compiles kernels for it. */
export type ProbeDepth = 'adapter' | ProbedForms;

/** Milliseconds after which a driver is taken to hang; kernels may take minutes to compile. */
const PATIENCE_MS: Readonly<Record<ProbeDepth, number>> = {
  adapter: 30_000,
  plain: 600_000,
  all: 600_000,
};

/**
 * Looks for a device in a process of its own, so that a driver that crashes or hangs is an answer,
 * too, and this process loads no driver.
 */
export async function probeDevice(depth: ProbeDepth = 'adapter'): Promise<DeviceProbe> {
  const fromSources = import.meta.url.endsWith('.ts');
  const file = new URL(fromSources ? 'probe-process.ts' : 'probe-process.js', import.meta.url);
  const loader = fromSources ? ['--import', 'tsx'] : [];
  const child = spawn(process.execPath, [...loader, fileURLToPath(file), depth], {
    env: { ...process.env, VK_LOADER_DEBUG: 'all' },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: PATIENCE_MS[depth],
    killSignal: 'SIGKILL',
  });
  let [answer, log] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (answer += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (log += chunk.toString()));
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  const lines = answer
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as ProbeLine);
  return readProbe(lines, log, { code, signal, depth });
}

export interface ProbeEnd {
  readonly code: number | null;
  readonly signal: string | null;
  readonly depth: ProbeDepth;
}

/**
 * @param lines what the process has answered before it ended
 * @param log its standard error
 */
export function readProbe(
  lines: readonly ProbeLine[],
  log: string,
  { code, signal, depth }: ProbeEnd,
  platform: NodeJS.Platform = process.platform,
): DeviceProbe {
  const gpus: MachineGpu[] = [];
  for (const gpu of machineGpus(log)) {
    gpus.push({ ...gpu, memoryBytes: gpu.memoryBytes ?? ownMemory(gpu.pciAddress) });
  }
  const told = Object.assign({}, ...lines) as Partial<
    Record<'adapter' | 'problem' | 'attention', unknown>
  >;
  const attention = (told.attention ?? null) as DeviceAbilities | null;
  const hasAll = depth === 'adapter' ? told.adapter === true : attention !== null;
  const ended = signal === null ? `with code ${code}` : `by ${signal}`;
  const silence = hasAll ? null : `the process that tried the GPU's driver ended ${ended}`;
  return {
    gpus,
    adapter: told.adapter === true ? adapterOf(log, gpus, platform) : null,
    problem: (told.problem as string | undefined) ?? silence,
    attention,
  };
}

function adapterOf(log: string, gpus: readonly MachineGpu[], platform: NodeJS.Platform): Adapter {
  const only = gpus.length === 1 ? gpus[0] : null;
  const opened = openedByVulkan(log);
  if (opened) {
    const software = isSoftware(opened);
    return {
      ...opened,
      isSoftware: software,
      memoryBytes: software ? null : (only?.memoryBytes ?? null),
    };
  }
  return {
    name: only?.name ?? 'a GPU without a known name',
    driver: null,
    // Metal has hardware only, and Direct3D prefers it. Vulkan's loader is asked above: a device
    // that it does not name counts as software.
    isSoftware: platform === 'linux' || (platform !== 'darwin' && gpus.length === 0),
    memoryBytes: only?.memoryBytes ?? null,
  };
}

/** The memory of a card at a place on the PCI bus, as AMD's driver for Linux tells it. */
function ownMemory(pciAddress: string | null): number | null {
  if (pciAddress === null || !/^[\da-f:.]+$/i.test(pciAddress)) return null;
  try {
    const text = readFileSync(`/sys/bus/pci/devices/${pciAddress}/mem_info_vram_total`, 'utf8');
    return Number(text) || null;
  } catch {
    return null;
  }
}
