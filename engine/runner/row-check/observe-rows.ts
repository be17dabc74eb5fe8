import type { Tensor } from 'onnxruntime-node';
import { OctavoError, reasonOf } from '../../errors.js';
import { type ImportedModel, STEP_OUTPUT } from '../../importer/imported-model.js';
import { imageTensors, NO_IMAGES } from '../image-tensors.js';
import { rowTensors } from '../logits-tensors.js';
import type { LoadedSegment } from '../segment-session.js';
import { buildStepBatch } from '../step-batch.js';
import { stepTensors, take, ZeroPoints } from '../tensors.js';
import { type Company, everyRow, inCompany } from './companions.js';
import { difference, putRows, type TokenPlace, takeRows, tokenPlace } from './token-rows.js';

/**
 * How the other sequences differ: in their numbers (with the same number of rows), or by being
 * absent (ONNX Runtime's kernels then differ, too).
 */
export type Comparison = 'others changed' | 'alone';

/** The difference in the observed sequence's rows of one tensor. */
export interface Observation {
  readonly segment: number;
  readonly tensor: string;
  readonly comparison: Comparison;
  /** The largest difference, relative to the rows' largest number. */
  readonly difference: number;
  /** Inputs of the segment in both runs, and in a run of the sequence alone. */
  readonly inputs: Readonly<Record<'base' | 'other' | 'alone', SegmentRun>>;
}

export interface SegmentRun {
  readonly company: Company;
  readonly inputs: ReadonlyMap<string, Tensor>;
}

type ObservedModel = Pick<ImportedModel, 'cuts' | 'vocabSize' | 'servedLength' | 'imageInputs'>;

/**
 * Runs the segments as steps do, with made-up outputs of attention, on rows of one sequence: next
 * to similar sequences, next to very different ones, and alone. Each segment gets the same rows of
 * that sequence in all runs, so that small differences do not grow from layer to layer.
 *
 * @returns an observation for each output of a segment and comparison, in the order of the graph
 */
export async function* observeRows(
  model: ObservedModel,
  segments: readonly LoadedSegment[],
): AsyncGenerator<Observation> {
  const places = new Map<string, TokenPlace | null | undefined>();
  const aloneInputs: SegmentRun[] = [];
  for (const own of ['near', 'far'] as const) {
    const [base, other] = (['near', 'far'] as const).map(
      (others) => new Run(inCompany({ ...model, own, others }), model.imageInputs),
    );
    // Runs once: it shows the effect of other sequences' presence, and which axis of a tensor has
    // the tokens.
    const alone =
      own === 'near'
        ? new Run(inCompany({ ...model, own, others: null }), model.imageInputs)
        : null;
    const runs = alone ? [base, other, alone] : [base, other];
    for (const [index, segment] of segments.entries()) {
      if (alone) aloneInputs.push(alone.fed(segment));
      const inputs = {
        base: base.fed(segment),
        other: other.fed(segment),
        alone: aloneInputs[index],
      };
      const names = wanted(segment, index === segments.length - 1);
      for (const run of runs) await run.run(segment, names);
      for (const tensor of names) {
        const whole = base.of(tensor);
        if (alone) {
          const short = alone.of(tensor);
          places.set(tensor, tokenPlace(whole.dims, base.total, short.dims, alone.total));
        }
        const place = places.get(tensor);
        if (!place) continue;
        const rows = takeRows(whole, place, base.company.rows);
        for (const run of runs.slice(1)) {
          const comparison = run === alone ? 'alone' : 'others changed';
          const same = takeRows(run.of(tensor), place, run.company.rows);
          yield { segment: index, tensor, comparison, difference: difference(rows, same), inputs };
          putRows(run.of(tensor), place, run.company.rows, rows);
        }
      }
      const site = model.cuts[index];
      if (site) for (const run of runs) run.attend(site);
    }
  }
}

/** Ranks and chosen logits follow from whole ones. */
function wanted({ outputs }: LoadedSegment, isLast: boolean): readonly string[] {
  return isLast ? [STEP_OUTPUT.hidden, STEP_OUTPUT.fullLogits] : outputs;
}

class Run {
  readonly company: Company;
  readonly #tensors: Map<string, Tensor>;

  constructor(company: Company, imageInputs: ObservedModel['imageInputs']) {
    this.company = company;
    this.#tensors = new Map([
      ...stepTensors(buildStepBatch(company.plan), new ZeroPoints()),
      ...rowTensors(everyRow(company.plan.numTokens)),
      ...(imageInputs ? imageTensors(company.plan, imageInputs, NO_IMAGES) : []),
    ]);
  }

  get total(): number {
    return this.company.rows.total;
  }

  of(tensor: string): Tensor {
    return take(this.#tensors, tensor);
  }

  fed({ inputs }: LoadedSegment): SegmentRun {
    return {
      company: this.company,
      inputs: new Map(inputs.map((name) => [name, this.of(name)])),
    };
  }

  async run(segment: LoadedSegment, outputs: readonly string[]): Promise<void> {
    const { session, inputs, noAdapters } = segment;
    const own = Object.fromEntries(inputs.map((name) => [name, this.of(name)]));
    const feeds = { ...own, ...noAdapters };
    const results = await session.run(feeds, outputs).catch((cause: unknown) => {
      throw this.#refusal(cause);
    });
    for (const name of outputs) this.#tensors.set(name, results[name]);
  }

  /** The error of such a step, which is better reported now than at the first such request. */
  #refusal(cause: unknown): OctavoError {
    const reason = reasonOf(cause);
    const { sequences } = this.company.plan;
    const longest = Math.max(...sequences.map(({ sequenceLength }) => sequenceLength));
    return new OctavoError(
      'model_unsupported',
      `ONNX Runtime cannot compute a sequence of ${longest} tokens with this model: ${reason}. If its tables are shorter than ` +
        'config.json says, lower --max-model-len',
      { cause },
    );
  }

  attend(site: ObservedModel['cuts'][number]): void {
    this.#tensors.set(site.output, this.company.attended(site));
  }
}
