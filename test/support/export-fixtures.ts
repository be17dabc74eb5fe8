import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { AdapterStack } from '../../engine/adapters/adapter-stack.js';
import { LoadedAdapters } from '../../engine/adapters/loaded-adapters.js';
import { createKernelAttention } from '../../engine/attention/kernel-attention.js';
import { fullRowsOf } from '../../engine/decoding/logits-query.js';
import type { ImportedModel } from '../../engine/importer/imported-model.js';
import type { Activations } from '../../engine/importer/quantize/quantization.js';
import type { QuantizeModelOptions } from '../../engine/importer/quantize/quantize-model.js';
import type { WidenOptions } from '../../engine/importer/quantize/widen-model.js';
import type { Dtype } from '../../engine/importer/variants.js';
import { readModelConfig } from '../../engine/model/model-config.js';
import { openModel } from '../../engine/model/open-model.js';
import { planCache } from '../../engine/recurrent/cache-plan.js';
import { createRecurrentLayers } from '../../engine/recurrent/create-recurrent.js';
import { recurrentLayer } from '../../engine/recurrent/recurrence.js';
import { SegmentRunner } from '../../engine/runner/segment-runner.js';
import type { BlockId } from '../../kvcache/ids.js';
import type { SequenceId, TokenId } from '../../scheduler/ids.js';
import type { ScheduledSequence } from '../../scheduler/step-plan.js';

const EXPORTS = fileURLToPath(new URL('../fixtures/exports', import.meta.url));

/** What PyTorch says about one family: see test/fixtures/exports/goldens.py. */
export interface Golden {
  readonly prompts: readonly (readonly number[])[];
  readonly tokens: readonly (readonly number[])[];
  /** By prompt: the logits that gave the first token and the last. */
  readonly logits: readonly (readonly [Float32Array, Float32Array])[];
}

/** Families that there is a model of by this exporter. */
export function exportedFamilies(exporter: string): string[] {
  return readdirSync(join(EXPORTS, 'models', exporter)).sort();
}

export function exportDir(exporter: string, family: string): string {
  return join(EXPORTS, 'models', exporter, family);
}

export function readGolden(family: string): Golden {
  return readGoldenFile(join(EXPORTS, 'goldens', `${family}.json`));
}

export function readGoldenFile(file: string): Golden {
  const { prompts, tokens, logits } = JSON.parse(readFileSync(file, 'utf8')) as {
    prompts: number[][];
    tokens: number[][];
    logits: string;
  };
  const bytes = Uint8Array.from(Buffer.from(logits, 'base64'));
  const values = new Float32Array(bytes.buffer);
  const vocab = values.length / prompts.length / 2;
  const row = (i: number): Float32Array => values.subarray(i * vocab, (i + 1) * vocab);
  return { prompts, tokens, logits: prompts.map((_, i) => [row(2 * i), row(2 * i + 1)]) };
}

export interface Generated {
  readonly tokens: readonly number[];
  readonly first: Float32Array;
  readonly last: Float32Array;
}

const BLOCK = 16;

/** An imported export with pages and sessions, which decodes greedily. */
export class ExportRunner {
  readonly model: ImportedModel;
  readonly #runner: SegmentRunner;
  readonly adapters: LoadedAdapters;
  readonly #numGroups: number;

  private constructor(
    model: ImportedModel,
    runner: SegmentRunner,
    adapters: LoadedAdapters,
    numGroups: number,
  ) {
    this.model = model;
    this.adapters = adapters;
    this.#runner = runner;
    this.#numGroups = numGroups;
  }

  static async load(
    modelDir: string,
    options: {
      readonly dtype?: Dtype | undefined;
      readonly servedLength?: number | undefined;
      readonly quantize?: QuantizeModelOptions;
      readonly activations?: Activations;
      readonly widen?: WidenOptions;
      /** Directories of adapters by name. */
      readonly adapters?: Readonly<Record<string, string>>;
    } = {},
  ): Promise<ExportRunner> {
    const { maxPositionEmbeddings: maxLength } = await readModelConfig(modelDir);
    const { dtype = 'auto', servedLength = maxLength } = options;
    const { quantize, activations, widen, adapters } = options;
    const model = await openModel({
      modelDir,
      dtype,
      maxLength,
      servedLength,
      ...(quantize && { quantize }),
      ...(activations && { activations }),
      ...(widen && { widen }),
      hasAdapters: adapters !== undefined,
    });
    const loaded = new LoadedAdapters(model, {
      maxLoras: 8,
      maxRank: 16,
      modelDir,
      onWarning: (line) => {
        throw new Error(line);
      },
    });
    for (const [name, directory] of Object.entries(adapters ?? {})) {
      await loaded.load(name, directory);
    }
    const { runner, numGroups } = await createRunner(model, loaded.stack);
    return new ExportRunner(model, runner, loaded, numGroups);
  }

  dispose(): Promise<void> {
    return this.#runner.dispose();
  }

  /**
   * Continues all prompts together, in ragged steps: prompts in chunks, while others decode
   * already.
   *
   * @param chunk tokens of one prompt in one step
   * @param adapters the adapter of each prompt; by default none
   */
  async generate(
    prompts: readonly (readonly number[])[],
    newTokens: number,
    chunk: number,
    adapters: readonly (string | null)[] = [],
  ): Promise<Generated[]> {
    const states = prompts.map(
      (prompt, i) => new Sequence(prompt, i, prompts.length, this.model, this.#numGroups),
    );
    for (;;) {
      const open = states.filter((state) => state.generated < newTokens);
      if (open.length === 0) break;
      const sequences = open.map((state) => {
        const name = adapters[states.indexOf(state)] ?? null;
        const adapter = name === null ? null : this.adapters.get(name).contentHash;
        return { ...state.next(chunk), adapter };
      });
      const numTokens = sequences.reduce((n, { tokenIds }) => n + tokenIds.length, 0);
      const plan = { sequences, numTokens, blockCopies: [] };
      const { fullLogits } = await this.#runner.execute(plan, fullRowsOf(plan));
      const sampled = open.filter((_, i) => sequences[i].sampledFor.length > 0);
      const vocab = this.model.vocabSize;
      sampled.forEach((state, i) => {
        state.take(fullLogits.slice(i * vocab, (i + 1) * vocab));
      });
    }
    return states.map((state) => state.result());
  }
}

/** Blocks of each group: a range of ids. */
const GROUP_BLOCKS = 256;

/** Every layer keeps its whole past; the states of a hybrid have groups after all pages. */
async function createRunner(
  model: ImportedModel,
  adapters: AdapterStack,
): Promise<{ readonly runner: SegmentRunner; readonly numGroups: number }> {
  const format = { blockSize: BLOCK, kvDtype: 'f32', threads: 1 } as const;
  const lengths = { maxModelLength: 1, maxNumBatchedTokens: 1 };
  const layers = model.recurrent.map(({ recurrence }) => recurrence);
  const plan = planCache(model.sites, { ...format, ...lengths }, layers.map(recurrentLayer));
  const numGroups = plan.groups.length;
  const sizes = { ...format, numBlocks: GROUP_BLOCKS * numGroups };
  const attention =
    model.sites.length > 0 ? createKernelAttention({ layers: model.sites, ...sizes }) : null;
  const recurrent = createRecurrentLayers(layers, plan, attention?.pages ?? null, sizes);
  const options = { threads: 1, adapters, ...(recurrent && { recurrent }) };
  return { runner: await SegmentRunner.create(model, attention, options), numGroups };
}

class Sequence {
  readonly #tokens: number[];
  readonly #promptLength: number;
  readonly #index: number;
  readonly #stride: number;
  readonly #switchLengths: readonly number[];
  readonly #numGroups: number;
  readonly #rows: Float32Array[] = [];
  #computed = 0;

  constructor(
    prompt: readonly number[],
    index: number,
    stride: number,
    { switchLengths }: Pick<ImportedModel, 'switchLengths'>,
    numGroups: number,
  ) {
    this.#numGroups = numGroups;
    this.#switchLengths = switchLengths;
    this.#tokens = [...prompt];
    this.#promptLength = prompt.length;
    this.#index = index;
    this.#stride = stride;
  }

  get generated(): number {
    return this.#tokens.length - this.#promptLength;
  }

  next(chunk: number): ScheduledSequence {
    const from = this.#computed;
    this.#computed = Math.min(this.#tokens.length, from + chunk);
    const isLast = this.#computed === this.#tokens.length;
    const id = `${this.#index}` as SequenceId;
    return {
      id,
      tokenIds: this.#tokens.slice(from, this.#computed) as TokenId[],
      numComputed: from,
      numProposed: 0,
      adapter: null,
      sequenceLength: this.#tokens.length,
      // Scattered: blocks of the sequences take turns.
      blockTables: Array.from({ length: this.#numGroups }, (_, group) =>
        Array.from(
          { length: Math.ceil(this.#computed / BLOCK) },
          (__, i) => (group * GROUP_BLOCKS + i * this.#stride + this.#index) as BlockId,
        ),
      ),
      sampledFor: isLast ? [id] : [],
    };
  }

  take(logits: Float32Array): void {
    this.#rows.push(logits);
    // Computed again, as the scheduler does.
    if (this.#switchLengths.includes(this.#tokens.length)) this.#computed = 0;
    this.#tokens.push(logits.indexOf(logits.reduce((a, b) => Math.max(a, b))));
  }

  result(): Generated {
    const rows = this.#rows;
    return {
      tokens: this.#tokens.slice(this.#promptLength),
      first: rows[0],
      last: rows[rows.length - 1],
    };
  }
}
