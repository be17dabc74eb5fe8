import type { AttentionShape } from '../../attention/paged-attention.js';
import type { Graph } from '../graph.js';
import type { NodeProto } from '../onnx/onnx_pb.js';

/** An attention node, or a pattern of nodes, that can be taken out of the graph. */
export interface RecognizedSite {
  /** Name of the form, for people. */
  readonly form: string;
  /** Goes away. What only served it goes with it. */
  readonly node: NodeProto;
  readonly shape: AttentionShape;
  /**
   * Tensor names: `[1, T, heads * headSize]` each. Keys and values are null where those of an
   * earlier site are read.
   */
  readonly query: string;
  readonly key: string | null;
  readonly value: string | null;
  readonly output: string;
  /**
   * The input of the graph that keys come from; null where no other site can read it. Of several
   * sites, the first has the pages.
   */
  readonly cache: string | null;
}

/** What a site reads. */
export function siteInputs(site: Pick<RecognizedSite, 'query' | 'key' | 'value'>): string[] {
  return [site.query, site.key, site.value].filter((name) => name !== null);
}

/** What is known of a model beside its graph. */
export interface RecognizerHints {
  /**
   * How far out masks are looked at, in tokens: farther than any window, but no farther than the
   * model's tables.
   */
  readonly maxLength: number;
}

/**
 * Knows one form in which exporters write attention. Everything that a form can express is either
 * described by the shape or refused: nothing is ignored.
 */
export interface AttentionRecognizer {
  readonly form: string;
  /**
   * All sites of this form, in the graph's order. May rewrite the graph around them, so that query,
   * key and value are tensors of their own.
   *
   * @throws OctavoError `model_unsupported`: which node, what about it, what to export instead
   */
  recognize(graph: Graph, hints: RecognizerHints): RecognizedSite[] | Promise<RecognizedSite[]>;
}
