import { InferenceSession } from 'onnxruntime-node';
import { OctavoError } from '../errors.js';
import type { ImportedModel, Segment } from '../importer/imported-model.js';
import { EXACT_SUMS } from '../importer/quantize/exact-weight-bits.js';

export interface LoadedSegment extends Pick<Segment, 'inputs' | 'outputs'> {
  readonly session: InferenceSession;
}

/** What of a model a session needs beside the segment itself. */
export type SessionContext = Pick<ImportedModel, 'weightsDir' | 'saturates'>;

/**
 * All segments of a model, ready to run.
 *
 * @param threads ONNX Runtime's inside one operator
 * @throws OctavoError `model_unsupported` when ONNX Runtime refuses a segment
 */
export async function loadSegments(
  model: ImportedModel,
  threads: number,
): Promise<LoadedSegment[]> {
  const segments: LoadedSegment[] = [];
  for (const segment of model.segments) {
    const session = await createSession(segment, model, threads);
    const { inputs, outputs } = segment;
    segments.push({ inputs, outputs, session });
  }
  return segments;
}

/** @param asWritten nodes run as the graph has them, for looking at each */
export async function createSession(
  segment: Pick<Segment, 'index' | 'model'>,
  { weightsDir, saturates }: SessionContext,
  threads: number,
  asWritten = false,
): Promise<InferenceSession> {
  const options: InferenceSession.SessionOptions = {
    executionProviders: ['cpu'],
    graphOptimizationLevel: asWritten ? 'disabled' : 'all',
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    // A pattern is one block of memory for each number of tokens that was ever in a step: with 512 tokens a step it held another
    // gigabyte, was made anew in the second step of a size, and no step was quicker for it.
    enableMemPattern: false,
    // Every session has its own pool, and an idle pool that spins takes the cores from the segment that runs:
    // 24 segments took 280 to 400 ms a pass with spinning and 19 to 23 ms without, on two cores.
    extra: {
      session: {
        force_spinning_stop: '1',
        ...(saturates && EXACT_SUMS),
        ...(weightsDir !== null && { model_external_initializers_file_folder_path: weightsDir }),
      },
    },
  };
  try {
    return await InferenceSession.create(segment.model, options);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.split('\n')[0] : String(cause);
    throw new OctavoError(
      'model_unsupported',
      `ONNX Runtime refuses segment ${segment.index} of the model: ${reason}`,
      { cause },
    );
  }
}
