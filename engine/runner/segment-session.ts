import { InferenceSession, type Tensor } from 'onnxruntime-node';
import { noAdapters } from '../adapters/adapter-feeds.js';
import { OctavoError, reasonOf } from '../errors.js';
import type { ImportedModel, Segment } from '../importer/imported-model.js';
import { EXACT_SUMS } from '../importer/quantize/exact-weight-bits.js';

export interface LoadedSegment extends Pick<Segment, 'inputs' | 'outputs'> {
  readonly session: InferenceSession;
  /** What it is fed, besides its inputs, in a step without adapters. */
  readonly noAdapters: Readonly<Record<string, Tensor>>;
}

/** What a session needs from the model besides its segment. */
export type SessionContext = Pick<ImportedModel, 'weightsDir' | 'saturates'>;

/**
 * All segments of a model, ready to run.
 *
 * @param threads threads of ONNX Runtime inside one operator
 * @throws OctavoError `model_unsupported` when ONNX Runtime refuses a segment
 */
export async function loadSegments(
  model: ImportedModel,
  threads: number,
): Promise<LoadedSegment[]> {
  const segments: LoadedSegment[] = [];
  for (const segment of model.segments) {
    const session = await createSession(segment, model, threads);
    const { inputs, outputs, adapted = null } = segment;
    segments.push({ inputs, outputs, session, noAdapters: noAdapters(adapted?.targets ?? []) });
  }
  return segments;
}

/**
 * Microseconds for which a thread of ONNX Runtime looks for the next operator before it sleeps:
 * about as long as it takes to wake one, so no wait costs more than twice what it must. By default
 * it is milliseconds: longer than a small segment takes, and the threads of a new session begin
 * with it (docs/benchmarks.md, "What spinning cost").
 */
const SPIN_MICROSECONDS = 50;

/** For what a session is, other than serving. */
export interface SessionUse {
  /** Runs nodes without ONNX Runtime's graph optimizations, to observe each of them. */
  readonly asWritten?: boolean;
  /** Multiplies with weights as they lie, instead of copies that are quicker to read. */
  readonly isBrief?: boolean;
}

export async function createSession(
  segment: Pick<Segment, 'index' | 'model' | 'adapted'>,
  { weightsDir, saturates }: SessionContext,
  threads: number,
  { asWritten = false, isBrief = false }: SessionUse = {},
): Promise<InferenceSession> {
  const { adapted } = segment;
  const options: InferenceSession.SessionOptions = {
    executionProviders: ['cpu'],
    graphOptimizationLevel: asWritten ? 'disabled' : 'all',
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    // A memory pattern is a block of memory for each number of tokens that a step ever had. With
    // 512 tokens in a step, it took another gigabyte, was created again in the second step of a
    // size, and made no step faster.
    enableMemPattern: false,
    // An arena keeps for its session alone what the largest step needed, and rounds up each weight
    // that it holds. The segments run in turn, and the C library's heap serves all of them
    // (docs/benchmarks.md, "What arenas held"). This was measured with glibc; the allocator of
    // Windows gives back each large block at once.
    enableCpuMemArena: process.platform !== 'linux',
    // Every session has its own thread pool, and an idle pool that spins takes the cores from the
    // running segment: on two cores, a pass of 24 segments took 280 to 400 ms with spinning and 19
    // to 23 ms without.
    extra: {
      session: {
        force_spinning_stop: '1',
        intra_op: { spin_duration_us: String(SPIN_MICROSECONDS) },
        ...(isBrief && { disable_prepacking: '1' }),
        ...(saturates && EXACT_SUMS),
        ...(weightsDir !== null && { model_external_initializers_file_folder_path: weightsDir }),
      },
    },
  };
  try {
    return await InferenceSession.create((adapted ?? segment).model, options);
  } catch (cause) {
    const reason = reasonOf(cause);
    throw new OctavoError(
      'model_unsupported',
      `ONNX Runtime refuses segment ${segment.index} of the model: ${reason}`,
      { cause },
    );
  }
}
