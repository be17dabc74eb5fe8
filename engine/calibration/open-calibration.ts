import { createHash } from 'node:crypto';
import type { TokenId } from '../../scheduler/ids.js';
import { OctavoError } from '../errors.js';
import type { AnalyzedModel } from '../importer/analyze-model.js';
import { emitObserved } from '../importer/emit/observed-segments.js';
import type {
  CalibratedInput,
  Calibration,
  MomentSource,
} from '../importer/quantize/calibration.js';
import { analyze, type OpenOptions } from '../model/open-model.js';
import { loadServedModel } from '../text/served-model.js';
import { encodeTexts } from './encode-texts.js';
import { MomentCollector } from './moment-collector.js';
import { parseCalibrationFile, readCalibrationFile } from './read-texts.js';

/** Raise it whenever the same texts change weights otherwise. */
const VERSION = 3;
const MOST_SEQUENCES = 128;
const MOST_LENGTH = 512;
/** Bytes that the texts' rows may take between two layers, in a file. */
const MOST_BYTES = 512 * 2 ** 20;
/** Hidden states wait there, and the outputs of attention, which are about as wide: float32. */
const BYTES_PER_UNIT = 8;

interface RunOptions {
  readonly threads: number;
  readonly scratchDir: string;
  /** Weights of a part of the model, which are in memory as float32; tests set it. */
  readonly partBytes?: number;
}

/** A matmul of more has a part of its own. */
const PART_BYTES = 256 * 2 ** 20;

/**
 * Reads the texts of `--calibrate`. The model is run, in float32, only when the model cache lacks
 * what is made of them.
 *
 * @param options of the model that is rounded
 * @param run threads that may compute, and where what texts hand on from layer to layer may lie
 * @throws OctavoError `usage` for a file that cannot be read or holds no text
 */
export async function openCalibration(
  file: string,
  options: OpenOptions,
  run: RunOptions,
): Promise<Calibration> {
  const bytes = await readCalibrationFile(file);
  const texts = parseCalibrationFile(file, bytes);
  const isJson = file.endsWith('.jsonl');
  const limits = [MOST_SEQUENCES, MOST_LENGTH, MOST_BYTES];
  const identity = JSON.stringify([VERSION, isJson, ...limits]);
  const hash = createHash('sha256').update(identity).update(bytes);
  return {
    key: hash.digest('hex').slice(0, 16),
    collect: async (inputs) => {
      const analyzed = await analyzeFloats(options);
      const { servedLength, hiddenSize } = analyzed;
      const widest = hiddenSize ?? Math.max(...inputs.map(({ width }) => width));
      const sequences = encodeTexts(file, texts, await loadServedModel(options.modelDir, []), {
        sequences: MOST_SEQUENCES,
        length: Math.min(MOST_LENGTH, servedLength),
        tokens: Math.floor(MOST_BYTES / BYTES_PER_UNIT / widest),
      });
      return collectMoments(analyzed, inputs, sequences, run);
    },
  };
}

/** The model that is rounded, in float32: weights of 16 bits are widened in memory. */
export function analyzeFloats(options: OpenOptions): Promise<AnalyzedModel> {
  const { quantize: _, widen: __, ...own } = options;
  return analyze({ ...own, hasAdapters: false });
}

/**
 * Begins to run a model over sequences.
 *
 * @param model consumed
 * @param run as of `openCalibration`
 * @throws OctavoError `model_unsupported`
 */
export function collectMoments(
  model: AnalyzedModel,
  inputs: readonly CalibratedInput[],
  sequences: readonly (readonly TokenId[])[],
  { threads, scratchDir, partBytes = PART_BYTES }: RunOptions,
): Promise<MomentSource> {
  refuseSharedPages(model);
  const observed = emitObserved(
    model,
    inputs.map(({ name }) => name),
    partBytes,
  );
  return MomentCollector.create(observed, inputs, sequences, threads, scratchDir);
}

/** Layer by layer, pages of an earlier layer would be those of another text. */
function refuseSharedPages({ file, sites }: AnalyzedModel): void {
  const site = sites.find(({ pagesOf }) => pagesOf !== undefined);
  if (!site) return;
  throw new OctavoError(
    'model_unsupported',
    `${file}: --calibrate takes decoders whose layers have keys and values of their own; ${site.node} reads those of an earlier layer: leave out --calibrate`,
    { param: '--calibrate' },
  );
}
