import { readFileSync } from 'node:fs';
import { openCalibration } from '../../engine/calibration/open-calibration.js';
import { openModel } from '../../engine/model/open-model.js';
import { THREADS } from './bench-engine.js';

// A program: node rounding-process.ts <RoundingJob as JSON>. Rounds a model's weights to 4 bits and
// prints what that took, as JSON.

export interface RoundingJob {
  readonly modelDir: string;
  /** Texts that weights are rounded by; null: each group of weights by itself. */
  readonly texts: string | null;
  readonly cacheDir: string;
}

export interface RoundingCost {
  readonly seconds: number;
  /** Of all threads: other programs on the machine change it little. */
  readonly processorSeconds: number;
  /** Until the first weight is written: the texts have run up to its inputs. */
  readonly untilFirst: number;
  /** The largest resident memory above that before, in bytes. */
  readonly peak: number;
  /** Of it, what is no file that the system may drop from memory, the program itself included. */
  readonly own: number;
}

/** A figure of this process in bytes; null where the system does not say. */
function statusOf(name: 'VmHWM' | 'RssAnon'): number | null {
  try {
    const status = readFileSync('/proc/self/status', 'utf8');
    return 1024 * Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1] ?? 0);
  } catch {
    return null;
  }
}

/** (On Linux, `maxRSS` begins with what the parent had.) */
const peakMemory = (): number => statusOf('VmHWM') ?? 1024 * process.resourceUsage().maxRSS;

async function round({ modelDir, texts, cacheDir }: RoundingJob): Promise<RoundingCost> {
  const before = peakMemory();
  const start = performance.now();
  const since = (end: number): number => (end - start) / 1000;
  let first = 0;
  let own = 0;
  const look = (): void => {
    own = Math.max(own, statusOf('RssAnon') ?? 0);
  };
  const timer = setInterval(look, 20);
  const options = { modelDir, servedLength: 512 };
  const run = { threads: THREADS, scratchDir: cacheDir };
  const calibration = texts === null ? null : await openCalibration(texts, options, run);
  const onProgress = async (): Promise<void> => {
    first ||= performance.now();
    look();
  };
  const quantize = { kind: 'q4', nbits: false, cacheDir, onProgress } as const;
  await openModel({
    ...options,
    activations: 'int8',
    quantize: calibration ? { ...quantize, calibration } : quantize,
  });
  clearInterval(timer);
  const { user, system } = process.cpuUsage();
  return {
    seconds: since(performance.now()),
    processorSeconds: (user + system) / 1e6,
    untilFirst: since(first),
    peak: peakMemory() - before,
    own,
  };
}

process.stdout.write(JSON.stringify(await round(JSON.parse(process.argv[2]) as RoundingJob)));
