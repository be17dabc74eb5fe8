import { join } from 'node:path';
import type { TokenId } from '../../scheduler/ids.js';
import { OctavoError } from '../errors.js';
import { checkpointOf, type ModelFiles } from '../model/open-model.js';
import type { EncoderTask, PoolingMode } from '../protocol/encoding.js';
import { type EncoderConfig, readEncoderConfig } from './encoder-config.js';
import type { EncoderInput, EncoderRunner } from './encoder-runner.js';
import { EncoderSession } from './encoder-session.js';
import { encoderPath } from './model-kind.js';
import { PackedSession } from './packed-session.js';
import { poolingAlone, readSentenceModules, type SentenceModules } from './sentence-modules.js';

export interface EncoderOptions extends ModelFiles {
  readonly threads: number;
  /** Wins over the model's files; absent: they say it. */
  readonly pooling?: PoolingMode;
}

/** An encoder with all that makes one vector of a text: graph, pooling, layers behind it. */
export interface Encoder {
  readonly config: EncoderConfig;
  readonly task: EncoderTask;
  /** Of what it gives for a text: components of a vector, or scores. */
  readonly width: number;
  /** Whether texts are computed one at a time. */
  readonly runsAlone: boolean;
  /** Whether texts of any lengths are computed together without padding. */
  readonly isPacked: boolean;
  /** Lines for the log: the file, then what is done with it. */
  readonly notes: readonly string[];
  /** @returns `[width]` each, in memory of their own; not normalized unless the model says it */
  encode(inputs: readonly EncoderInput[]): Promise<Float32Array[]>;
  release(): Promise<void>;
}

/**
 * Opens an encoder.
 *
 * @throws OctavoError `model_file_missing`, `model_file_corrupt`, `model_unsupported`
 */
export async function openEncoder(options: EncoderOptions): Promise<Encoder> {
  const { modelDir } = options;
  const config = await readEncoderConfig(modelDir);
  const { file, session } = await openSession(options, config);
  try {
    const { output, runsAlone, isPacked } = session;
    const { modules, why } = await chooseModules(options, output);
    const encode = async (inputs: readonly EncoderInput[]): Promise<Float32Array[]> => {
      const all = await session.run(inputs);
      if (modules === null) return all;
      return all.map((rows, index) => {
        return modules.apply(rows, rows.length / inputs[index].tokenIds.length);
      });
    };
    // The graph need not state the width of what it gives.
    const [probe] = await session.run([{ tokenIds: [config.padTokenId as TokenId] }]);
    const width = modules === null ? probe.length : modules.outputWidth(probe.length);
    const [first, ...rewrites] = [`${file}: ${config.architecture}, ${why}`, ...session.rewrites];
    return {
      config,
      task: output === 'scores' ? 'score' : 'embed',
      width,
      runsAlone,
      isPacked,
      notes: [first, ...rewrites],
      encode,
      release: () => session.release(),
    };
  } catch (error) {
    await session.release();
    throw error;
  }
}

async function openSession(
  options: EncoderOptions,
  { padTokenId, maxLength: longest }: EncoderConfig,
): Promise<{ readonly file: string; readonly session: EncoderRunner }> {
  const { modelDir, threads } = options;
  const entry = await checkpointOf(options);
  if (entry !== null) {
    const session = await PackedSession.open(modelDir, entry, { threads, longest });
    return { file: join(modelDir, entry), session };
  }
  const file = await encoderPath(options);
  return { file, session: await EncoderSession.open(file, threads, padTokenId) };
}

async function chooseModules(
  { modelDir, pooling }: EncoderOptions,
  output: EncoderRunner['output'],
): Promise<{ readonly modules: SentenceModules | null; readonly why: string }> {
  if (output === 'scores') return { modules: null, why: 'scores pairs of texts' };
  if (output === 'vector') {
    const why = 'its graph pools';
    if (pooling === undefined) return { modules: null, why };
    const message = `--pooling ${pooling}: the graph gives sentence_embedding, which is pooled already`;
    throw new OctavoError('usage', message, { param: '--pooling' });
  }
  if (pooling !== undefined) {
    return { modules: poolingAlone(pooling), why: `${pooling} by --pooling` };
  }
  const modules = await readSentenceModules(modelDir);
  if (modules !== null) return { modules, why: `${modules.summary} by modules.json` };
  const why = 'mean of all tokens, as no modules.json says otherwise: --pooling changes it';
  return { modules: poolingAlone('mean'), why };
}
