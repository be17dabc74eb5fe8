import { basename, dirname, join, resolve } from 'node:path';
import { buildEncoder } from '../architectures/build/encoder-graph.js';
import { buildModel, graphOf } from '../architectures/build-model.js';
import { describeGguf } from '../architectures/describe-gguf.js';
import { type DescribedModel, describeModel } from '../architectures/describe-model.js';
import {
  describeEncoder,
  isEncoderCheckpoint,
} from '../architectures/encoders/describe-encoder.js';
import { isGgufFile, partsOf } from '../checkpoint/gguf-files.js';
import { filesOf, findSafetensors, SAFETENSORS_INDEX } from '../checkpoint/safetensors-files.js';
import { OctavoError } from '../errors.js';
import { type AnalyzedModel, analyzeModel, type ImportOptions } from '../importer/analyze-model.js';
import { emitSegments } from '../importer/emit/segments.js';
import { externalFiles } from '../importer/external-files.js';
import { Graph } from '../importer/graph.js';
import type { ImportedModel } from '../importer/imported-model.js';
import { findModelFile } from '../importer/model-file.js';
import { findParts } from '../importer/parts/find-parts.js';
import { readDecoder } from '../importer/parts/read-decoder.js';
import type { WidenOptions } from '../importer/quantize/widen-model.js';
import { chooseVariant, type Dtype, listVariants } from '../importer/variants.js';
import type { ModelPlace } from '../protocol/options.js';

export interface OpenOptions extends ImportOptions {
  /** Where weights of 16 bits are kept as float32; absent: they are widened at each start. */
  readonly widen?: WidenOptions;
  /** See `BuildModelOptions`. */
  readonly joinsProjections?: boolean;
  /** Whether packed weights of a built graph are left unread: it can be described, but not run. */
  readonly isSketch?: boolean;
  /** See `EmitOptions`. */
  readonly opensEnds?: boolean;
}

/** Which model, and which of its files has the weights. */
export type ModelFiles = Pick<ImportOptions, 'modelDir' | 'file' | 'dtype'>;

/** The files of a model that was found. */
export const modelFilesAt = ({ dir, file }: ModelPlace, dtype: Dtype | 'auto'): ModelFiles => ({
  modelDir: dir,
  dtype,
  ...(file !== undefined && { file }),
});

/** Length in tokens of sequences when the configuration states none. */
const DEFAULT_LENGTH = 1024;

/**
 * The checkpoint of a directory, or the GGUF file in its place, from which the graph is built; null
 * when an ONNX file has the graph, which takes precedence, and where there is neither.
 *
 * @throws OctavoError `model_file_missing` when ONNX files of a number format were asked for
 */
export async function checkpointOf({
  modelDir,
  file,
  dtype = 'auto',
}: ModelFiles): Promise<string | null> {
  if (file !== undefined) {
    return file === SAFETENSORS_INDEX || file.endsWith('.safetensors') ? file : null;
  }
  const isGguf = isGgufFile(modelDir);
  if (!isGguf && (await listVariants(modelDir)).length > 0) return null;
  const entry = isGguf ? basename(modelDir) : await findSafetensors(modelDir);
  if (entry === null || dtype === 'auto') return entry;
  throw new OctavoError(
    'model_file_missing',
    `${modelDir}: no ONNX model of --dtype ${dtype}; there is ${entry}, whose precision --quantize chooses`,
    { param: '--dtype' },
  );
}

/**
 * Reads a model, an ONNX file or else safetensors, up to the point where what computes it matters.
 *
 * @throws OctavoError `model_file_missing`, `model_file_corrupt`, `model_unsupported`
 */
export async function analyze(options: OpenOptions): Promise<AnalyzedModel> {
  const { maxLength = DEFAULT_LENGTH, quantize, activations, widen } = options;
  const entry = await checkpointOf(options);
  if (entry === null) return analyzeModel(options);
  return buildModel(await described(options.modelDir, entry), {
    servedLength: options.servedLength ?? maxLength,
    hasAdapters: options.hasAdapters ?? false,
    ...(quantize && { quantize }),
    ...(activations && { activations }),
    ...(widen && { widen }),
    isSketch: options.isSketch ?? false,
    joinsProjections: options.joinsProjections ?? false,
  });
}

/**
 * Reads a model and makes it servable on the CPU.
 *
 * @throws OctavoError as `analyze` does
 */
export async function openModel(options: OpenOptions): Promise<ImportedModel> {
  const { opensEnds = false } = options;
  return emitSegments(await analyze({ ...options, joinsProjections: true }), { opensEnds });
}

async function described(modelDir: string, entry: string): Promise<DescribedModel> {
  return isGgufFile(modelDir) ? describeGguf(modelDir) : describeModel(modelDir, entry);
}

/**
 * The description of a decoder whose graph is built; null for one that has its graph in a file, and
 * for an encoder.
 */
export async function describedModel(files: ModelFiles): Promise<DescribedModel | null> {
  const entry = await checkpointOf(files);
  if (entry === null || (await isEncoderCheckpoint(files.modelDir))) return null;
  return described(files.modelDir, entry);
}

/** The graph of a model as `--quantize` finds it, before any pass, to see what that would do. */
export async function openGraph(files: ModelFiles): Promise<Graph> {
  const entry = await checkpointOf(files);
  const { modelDir } = files;
  if (entry === null) return readDecoder(modelDir, await onnxPath(files));
  if (!(await isEncoderCheckpoint(modelDir))) {
    return graphOf(await described(modelDir, entry), 1, 'all').graph;
  }
  const { encoder, checkpoint } = await describeEncoder(modelDir, entry);
  return new Graph(buildEncoder(encoder, checkpoint.tensors, 1), checkpoint.file);
}

async function onnxPath({ modelDir, file, dtype = 'auto' }: ModelFiles): Promise<string> {
  return file ?? (await chooseVariant(modelDir, dtype)).path;
}

/**
 * The files that a model's content consists of: equal content, equal answers.
 *
 * @returns paths, the one first by which it is found
 */
export async function contentFiles(model: ModelFiles): Promise<string[]> {
  const { modelDir } = model;
  if (isGgufFile(modelDir)) {
    return partsOf(modelDir).map((name) => join(dirname(modelDir), name));
  }
  const entry = await checkpointOf(model);
  if (entry !== null) {
    const files = await filesOf(modelDir, entry);
    return [...files, 'config.json'].map((name) => join(modelDir, name));
  }
  const path = await onnxPath(model);
  const { embedding, vision } = await findParts(modelDir, path);
  const files = [await findModelFile(modelDir, path)];
  for (const part of [embedding, vision]) if (part !== null) files.push(join(modelDir, part));
  return files.flatMap((file) => {
    const external = externalFiles(file).toSorted();
    return [file].concat(external.map((name) => resolve(dirname(file), name)));
  });
}
