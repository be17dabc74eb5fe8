import { type InferenceSession, Tensor } from 'onnxruntime-node';
import type { TokenId } from '../../scheduler/ids.js';
import type { StepPlan } from '../../scheduler/step-plan.js';
import type { HiddenReader, ModelEnds } from '../core/model-ends.js';
import type { LogitsQuery, LogitsResult } from '../decoding/logits-query.js';
import { type ImportedModel, type OpenEnds, STEP_INPUT } from '../importer/imported-model.js';
import { joinAnswers, piecesOf, readAnswer, rowTensors } from './logits-tensors.js';
import { createSession, type LoadedSegment } from './segment-session.js';
import { int64 } from './step-batch.js';
import { floats, take, ZeroPoints } from './tensors.js';

/**
 * Embedding and head of a model whose ends are open. The head's session is the one that steps run,
 * so that its weights are in memory once; the table of the embedding stays in its file.
 */
export class SegmentEnds implements ModelEnds {
  readonly hiddenSize: number;
  readonly #embedding: InferenceSession;
  readonly #head: LoadedSegment;
  readonly #open: OpenEnds;
  readonly #maxLogitRows: number;
  readonly #zeroPoints = new ZeroPoints();
  #reader: HiddenReader | null = null;

  private constructor(
    embedding: InferenceSession,
    head: LoadedSegment,
    open: OpenEnds,
    hiddenSize: number,
    maxLogitRows: number,
  ) {
    this.#embedding = embedding;
    this.#head = head;
    this.#open = open;
    this.hiddenSize = hiddenSize;
    this.#maxLogitRows = maxLogitRows;
  }

  /**
   * @param segments those of the model; they stay their owner's
   * @returns null for a model whose ends are not open
   */
  static async create(
    model: ImportedModel,
    segments: readonly LoadedSegment[],
    threads: number,
    maxLogitRows: number,
  ): Promise<SegmentEnds | null> {
    const { ends, hiddenSize } = model;
    if (!ends) return null;
    const embedding = await createSession(ends.embedding, model, threads);
    const own = hiddenSize ?? (await widthOf(embedding, ends));
    return new SegmentEnds(embedding, segments[segments.length - 1], ends, own, maxLogitRows);
  }

  watch(reader: HiddenReader): void {
    this.#reader = reader;
  }

  /** Tells the reader of a step whose layers are computed. */
  async pass(plan: StepPlan, tensors: ReadonlyMap<string, Tensor>): Promise<void> {
    await this.#reader?.read(plan, floats(take(tensors, this.#open.hidden)));
  }

  embed(tokenIds: readonly TokenId[]): Promise<Float32Array> {
    return embeddings(this.#embedding, this.#open, tokenIds);
  }

  async rank(hidden: Float32Array, query: LogitsQuery): Promise<LogitsResult> {
    const numRows = hidden.length / this.hiddenSize;
    const tensors = new Map<string, Tensor>([
      [this.#open.hidden, new Tensor('float32', hidden, [1, numRows, this.hiddenSize])],
      [STEP_INPUT.zeroPoints, new Tensor('uint8', this.#zeroPoints.of(numRows), [numRows])],
    ]);
    const { session, inputs, outputs, noAdapters } = this.#head;
    const answers: LogitsResult[] = [];
    for (const piece of piecesOf(query, this.#maxLogitRows)) {
      for (const [name, tensor] of rowTensors(piece)) tensors.set(name, tensor);
      const fed = Object.fromEntries(inputs.map((name) => [name, take(tensors, name)]));
      const results = await session.run({ ...fed, ...noAdapters }, outputs);
      answers.push(readAnswer(new Map(Object.entries(results)), piece));
    }
    return joinAnswers(answers, this.#maxLogitRows);
  }

  async dispose(): Promise<void> {
    await this.#embedding.release();
  }
}

async function embeddings(
  session: InferenceSession,
  { embedding }: OpenEnds,
  tokenIds: readonly TokenId[],
): Promise<Float32Array> {
  const [output] = embedding.outputs;
  const ids = new Tensor('int64', int64(tokenIds), [1, tokenIds.length]);
  const results = await session.run({ [STEP_INPUT.inputIds]: ids }, [output]);
  return floats(results[output]);
}

/** For a graph that does not state the width of its hidden states. */
async function widthOf(session: InferenceSession, open: OpenEnds): Promise<number> {
  return (await embeddings(session, open, [0 as TokenId])).length;
}
