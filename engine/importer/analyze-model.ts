import { checkWeights } from './check-weights.js';
import { describeExporter } from './exporter.js';
import type { Graph } from './graph.js';
import type { AdapterTarget, AttentionSite, CutSite, RecurrentSite } from './imported-model.js';
import { setDeepstackAside } from './parts/deepstack.js';
import { readDecoder } from './parts/read-decoder.js';
import { checkDecoder } from './passes/check-decoder.js';
import { checkStepInputs } from './passes/check-ragged.js';
import { chooseBranches } from './passes/choose-branches.js';
import { chooseForSequences } from './passes/choose-for-sequences.js';
import { deriveFromStep } from './passes/derive-from-step.js';
import { findAdapterTargets } from './passes/find-adapter-targets.js';
import { findEmbedding } from './passes/find-embedding.js';
import { findSites } from './passes/find-sites.js';
import { keepSampledRows } from './passes/keep-sampled-rows.js';
import { keepWholeTables } from './passes/keep-whole-tables.js';
import { repeatPositions } from './passes/repeat-positions.js';
import { noteSaturatingMatmuls } from './passes/saturating-matmuls.js';
import { scaleRows } from './passes/scale-rows.js';
import { stateCacheSizes } from './passes/state-cache-sizes.js';
import { widenFloats } from './passes/widen-floats.js';
import { widenIds } from './passes/widen-ids.js';
import { chooseKind } from './quantize/choose-kind.js';
import type { Activations } from './quantize/quantization.js';
import { type QuantizeModelOptions, quantizeModel } from './quantize/quantize-model.js';
import type {
  RecognizedAttention,
  RecognizedRecurrence,
  RecognizedSite,
} from './recognizers/recognizer.js';
import { chooseVariant, type Dtype } from './variants.js';

export interface ImportOptions {
  /** Directory in the layout of a Hugging Face ONNX model. */
  readonly modelDir: string;
  /**
   * Path of the ONNX file, relative to `modelDir`; absent: one of the usual files is chosen by
   * `dtype`.
   */
  readonly file?: string;
  /** Number format of the file that is chosen; default `auto`. */
  readonly dtype?: Dtype | 'auto';
  /** Rewrites the matmuls of the graph as W8A8. */
  readonly quantize?: QuantizeModelOptions;
  /**
   * How weights are multiplied that Octavo writes in blocks of 4 or 8 bits; default: exactly. Nodes
   * of a file keep what they state.
   */
  readonly activations?: Activations;
  /** Context length from config.json, in tokens; masks are probed up to it. */
  readonly maxLength?: number;
  /** Length of the longest sequence that is served, in tokens; default `maxLength`. */
  readonly servedLength?: number;
  /** Whether adapters may change its matmuls; default false. */
  readonly hasAdapters?: boolean;
}

/** Length in tokens up to which masks are probed when the context length is unknown. */
const DEFAULT_LENGTH = 1024;

/**
 * A decoder's graph after analysis: its attention, its LM head, its tables, and the graph itself,
 * rewritten to take one ragged row of tokens. It depends on no backend; each backend emits its own
 * graphs from it (`emit/`).
 */
export interface AnalyzedModel {
  /** Rewritten in place by the analysis. The one emission that follows consumes it. */
  readonly graph: Graph;
  /** Attention nodes, and those that keep a state, in the order of their layers. */
  readonly recognized: readonly RecognizedSite[];
  /** Descriptions of the same nodes; they hold no reference to the graph. See `ImportedModel`. */
  readonly cuts: readonly CutSite[];
  readonly sites: readonly AttentionSite[];
  readonly recurrent: readonly RecurrentSite[];
  /** See `ImportedModel`. */
  readonly adapterTargets: readonly AdapterTarget[];
  readonly vocabSize: number;
  /** Width of the hidden states; null when the graph does not state it. */
  readonly hiddenSize: number | null;
  /** The tensor with the tokens' embeddings; null when it is not found (`findEmbedding`). */
  readonly embedding: string | null;
  /** See `ImportedModel`; the same for the following two. */
  readonly saturates: boolean;
  readonly switchLengths: readonly number[];
  readonly servedLength: number;
  /** Path of the file, the tool that wrote it, and why it was chosen. */
  readonly file: string;
  readonly exporter: string;
  readonly variant: string;
  /**
   * First outputs of the file's nodes, as they were before any rewriting; null for a graph that no
   * file has.
   */
  readonly written: ReadonlySet<string> | null;
  /** The model in words, where it was built by a description; null where a file has its graph. */
  readonly architecture: string | null;
}

/**
 * Reads a decoder: finds its attention, makes the LM head compute sampled rows only, and rewrites
 * the rest so that a step is one ragged row of tokens.
 *
 * @throws OctavoError `model_file_missing`, `model_file_corrupt`, `model_unsupported`: one line
 *   that names file and node
 */
export async function analyzeModel(options: ImportOptions): Promise<AnalyzedModel> {
  const { modelDir, quantize, activations = 'exact', hasAdapters = false } = options;
  const variant =
    options.file === undefined
      ? await chooseVariant(modelDir, options.dtype ?? 'auto')
      : { path: options.file, reason: 'by its path' };
  const maxLength = options.maxLength ?? DEFAULT_LENGTH;
  const servedLength = options.servedLength ?? maxLength;
  const source = await readDecoder(modelDir, variant.path);
  const { file } = source;
  const exporter = describeExporter(source);
  checkWeights(source);
  checkDecoder(source);
  repeatPositions(source);
  setDeepstackAside(source);
  widenIds(source);
  checkStepInputs(source);
  stateCacheSizes(source);
  const written = new Set(source.nodes.map(({ output }) => firstOf(output)));
  await chooseBranches(source, servedLength);
  widenFloats(source);
  keepWholeTables(source);
  // Before W8A8 adds its own matmuls, whose weight bits are chosen for this CPU.
  const saturates = await noteSaturatingMatmuls(source);
  const found = await findSites(source, { maxLength });
  // Comes first, so that the rows of the LM head are chosen by our input alone.
  const { vocabSize, hiddenSize } = keepSampledRows(source);
  const adapterTargets = hasAdapters ? findAdapterTargets(source) : [];
  const embedding = findEmbedding(source);
  scaleRows(source);
  await deriveFromStep(source, found, maxLength);
  const switchLengths = await chooseForSequences(source, found, servedLength);
  const asked = quantize && { ...quantize, scalesAtOnce: hasAdapters, activations };
  const chosen = asked ? await chooseKind(source, asked) : null;
  const graph = chosen ? await quantizeModel(source, chosen) : source;
  const recognized = sitesIn(graph, found);
  return {
    graph,
    recognized,
    ...describeSites(recognized),
    adapterTargets,
    vocabSize,
    hiddenSize,
    embedding,
    saturates,
    switchLengths,
    servedLength,
    file,
    exporter,
    variant: variant.reason,
    written,
    architecture: null,
  };
}

/** A node is identified by its first output that has a name. */
export function firstOf(outputs: readonly string[]): string {
  return outputs.find((name) => name !== '') ?? '';
}

/** The same sites in a rewritten graph: tensors keep their names. */
export function sitesIn(graph: Graph, sites: readonly RecognizedSite[]): RecognizedSite[] {
  return sites.map((site): RecognizedSite => {
    const node = graph.producer(site.output);
    if (!node) throw new Error(`no node of the rewritten graph makes ${site.output}`);
    return { ...site, node };
  });
}

/** Descriptions that hold no reference to the graph. */
export function describeSites(
  recognized: readonly RecognizedSite[],
): Pick<AnalyzedModel, 'cuts' | 'sites' | 'recurrent'> {
  const attention = recognized.flatMap((site) => ('recurrence' in site ? [] : [site]));
  const states = recognized.flatMap((site) => ('recurrence' in site ? [site] : []));
  const sites = attention.map(attentionSite);
  const recurrent = states.map(recurrentSite);
  const cuts = recognized.map(
    (site): CutSite =>
      'recurrence' in site ? recurrent[states.indexOf(site)] : sites[attention.indexOf(site)],
  );
  return { cuts, sites, recurrent };
}

function attentionSite(
  site: RecognizedAttention,
  layer: number,
  all: readonly RecognizedAttention[],
): AttentionSite {
  const { form, node, shape, query, key, value, packed, output, cache } = site;
  const owner = cache === null ? layer : all.findIndex((other) => other.cache === cache);
  const pages = owner === layer ? {} : { pagesOf: owner };
  const tensors = { query, key, value, ...(packed !== undefined && { packed }), output };
  return { ...shape, ...pages, layer, node: node.name, form, ...tensors };
}

function recurrentSite(
  { form, node, recurrence, inputs, output }: RecognizedRecurrence,
  layer: number,
): RecurrentSite {
  return { layer, node: node.name, form, recurrence, inputs, output };
}
