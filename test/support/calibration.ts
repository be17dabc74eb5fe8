import { tmpdir } from 'node:os';
import { analyzeFloats, collectMoments } from '../../engine/calibration/open-calibration.js';
import type { CalibratedInput, Calibration } from '../../engine/importer/quantize/calibration.js';
import type { TokenId } from '../../scheduler/ids.js';

/** Moments that were asked for, by activation; the first block of inputs. */
export type SeenMoments = Map<string, Float32Array>;

/**
 * Calibration of a model without a tokenizer.
 *
 * @param seen gets what the rounding is told
 */
export function calibrationOf(
  modelDir: string,
  sequences: readonly (readonly number[])[],
  seen: SeenMoments = new Map(),
): Calibration {
  return {
    key: JSON.stringify(sequences),
    collect: async (inputs: readonly CalibratedInput[]) => {
      const model = await analyzeFloats({ modelDir, maxLength: 64, servedLength: 64 });
      // Each weight in a part of its own.
      const options = { threads: 1, scratchDir: tmpdir(), partBytes: 1 };
      const source = await collectMoments(model, inputs, sequences as TokenId[][], options);
      return {
        stageOf: (name) => source.stageOf(name),
        close: () => source.close(),
        momentsOf: async (name) => {
          const moments = await source.momentsOf(name);
          seen.set(name, moments[0].slice());
          return moments;
        },
      };
    },
  };
}
