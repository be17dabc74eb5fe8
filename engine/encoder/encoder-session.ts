import { type InferenceSession, Tensor } from 'onnxruntime-node';
import { OctavoError } from '../errors.js';
import { openWholeSession } from '../importer/whole-session.js';
import { readEncoderGraph } from './encoder-graph.js';
import type { EncoderInput, EncoderRunner, OutputKind } from './encoder-runner.js';
import { ROWS_OUTPUTS, SCORES_OUTPUT, VECTOR_OUTPUT } from './model-kind.js';

const INPUTS = ['input_ids', 'attention_mask', 'token_type_ids', 'position_ids'] as const;

type InputName = (typeof INPUTS)[number];

/** An export in ONNX Runtime: its graph takes a rectangle, filled up to the longest text. */
export class EncoderSession implements EncoderRunner {
  readonly output: OutputKind;
  readonly rewrites: readonly string[];
  readonly runsAlone: boolean;
  readonly isPacked = false;
  readonly #session: InferenceSession;
  readonly #file: string;
  readonly #outputName: string;
  readonly #padTokenId: number;

  private constructor(
    session: InferenceSession,
    file: string,
    outputName: string,
    parts: Pick<EncoderSession, 'output' | 'rewrites' | 'runsAlone'> & { padTokenId: number },
  ) {
    this.#session = session;
    this.#file = file;
    this.#outputName = outputName;
    this.#padTokenId = parts.padTokenId;
    this.output = parts.output;
    this.rewrites = parts.rewrites;
    this.runsAlone = parts.runsAlone;
  }

  /** @throws OctavoError `model_file_missing`, `model_file_corrupt`, `model_unsupported` */
  static async open(file: string, threads: number, padTokenId: number): Promise<EncoderSession> {
    const { graph, mixesTexts } = await readEncoderGraph(file);
    const session = await openWholeSession(graph, threads);
    const { inputNames, outputNames } = session;
    const alien = inputNames.find((name) => !(INPUTS as readonly string[]).includes(name));
    if (alien !== undefined) {
      throw unsupported(file, `it takes ${alien}; known are ${INPUTS.join(', ')}`);
    }
    // A vector has been through all modules already.
    const known = [VECTOR_OUTPUT, ...ROWS_OUTPUTS, SCORES_OUTPUT];
    const outputName = known.find((name) => outputNames.includes(name));
    if (outputName === undefined) {
      throw unsupported(file, `it gives ${outputNames.join(', ')}; known are ${known.join(', ')}`);
    }
    return new EncoderSession(session, file, outputName, {
      output:
        outputName === VECTOR_OUTPUT ? 'vector' : outputName === SCORES_OUTPUT ? 'scores' : 'rows',
      rewrites: graph.rewrites,
      runsAlone: mixesTexts || hasBatchOfOne(session),
      padTokenId,
    });
  }

  async run(inputs: readonly EncoderInput[]): Promise<Float32Array[]> {
    const longest = Math.max(...inputs.map(({ tokenIds }) => tokenIds.length));
    const feeds: Record<string, Tensor> = {};
    for (const one of this.#session.inputMetadata) {
      const isWide = !one.isTensor || one.type === 'int64';
      feeds[one.name] = this.#feed(one.name as InputName, inputs, longest, isWide);
    }
    let results: InferenceSession.OnnxValueMapType;
    try {
      results = await this.#session.run(feeds, [this.#outputName]);
    } catch (cause) {
      const what = `${inputs.length} texts of at most ${longest} tokens cannot be computed`;
      const reason = cause instanceof Error ? cause.message.split('\n')[0] : String(cause);
      throw new OctavoError('engine_failed', `${what}: ${reason}`, { cause });
    }
    const { data, dims } = results[this.#outputName];
    if (!(data instanceof Float32Array) || data.length === 0) {
      throw unsupported(this.#file, `its ${this.#outputName} has the shape [${dims.join(', ')}]`);
    }
    const each = data.length / inputs.length;
    return inputs.map(({ tokenIds }, index) => {
      const start = index * each;
      const size = this.output === 'rows' ? (each / longest) * tokenIds.length : each;
      return data.slice(start, start + size);
    });
  }

  release(): Promise<void> {
    return this.#session.release();
  }

  #feed(
    name: InputName,
    inputs: readonly EncoderInput[],
    longest: number,
    isWide: boolean,
  ): Tensor {
    const dims = [inputs.length, longest];
    const values = new Int32Array(inputs.length * longest);
    if (name === 'input_ids') values.fill(this.#padTokenId);
    for (const [index, { tokenIds, secondFrom = tokenIds.length }] of inputs.entries()) {
      const start = index * longest;
      const end = start + tokenIds.length;
      if (name === 'input_ids') values.set(tokenIds, start);
      else if (name === 'attention_mask') values.fill(1, start, end);
      else if (name === 'token_type_ids') values.fill(1, start + secondFrom, end);
      else for (let i = start; i < end; i++) values[i] = i - start;
    }
    return isWide
      ? new Tensor('int64', BigInt64Array.from(values, BigInt), dims)
      : new Tensor('int32', values, dims);
  }
}

/** Exporters write such graphs when they are told of no dynamic axes. */
function hasBatchOfOne({ inputMetadata }: InferenceSession): boolean {
  return inputMetadata.some((one) => one.isTensor && one.shape[0] === 1);
}

function unsupported(file: string, what: string): OctavoError {
  return new OctavoError('model_unsupported', `${file}: ${what}`);
}
