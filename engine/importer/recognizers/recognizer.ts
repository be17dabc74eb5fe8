import type { AttentionShape } from '../../attention/paged-attention.js';
import type { Recurrence } from '../../recurrent/recurrence.js';
import type { Graph } from '../graph.js';
import type { NodeProto } from '../onnx/onnx_pb.js';

/** An attention node, or a pattern of nodes, that can be taken out of the graph. */
export interface RecognizedAttention {
  /** Name of the form, for messages. */
  readonly form: string;
  /** Removed by the cut, along with the nodes that only served it. */
  readonly node: NodeProto;
  readonly shape: AttentionShape;
  /**
   * Names of tensors `[1, T, heads * headSize]`. Keys and values are null when the site reads those
   * of an earlier site.
   */
  readonly query: string;
  readonly key: string | null;
  readonly value: string | null;
  /**
   * A tensor that has all three of them side by side, which is read in their stead; absent: there
   * is none.
   */
  readonly packed?: string;
  readonly output: string;
  /**
   * The graph's input of past keys, or, in a graph that was built, a name that sites with the same
   * keys share; null when no other site can read it. When several sites share it, the first one
   * owns the pages.
   */
  readonly cache: string | null;
}

/** A node that keeps a state of its sequence, and can be taken out of the graph. */
export interface RecognizedRecurrence {
  /** Name of the form, for messages. */
  readonly form: string;
  readonly node: NodeProto;
  readonly recurrence: Recurrence;
  /** Names of the tensors that `Recurrence` describes. */
  readonly inputs: readonly string[];
  readonly output: string;
}

export type RecognizedSite = RecognizedAttention | RecognizedRecurrence;

/** Names of the tensors that a site reads. */
export type SiteTensors =
  | Pick<RecognizedAttention, 'query' | 'key' | 'value' | 'packed'>
  | Pick<RecognizedRecurrence, 'inputs'>;

/** The tensors that a site reads. */
export function siteInputs(site: SiteTensors): string[] {
  if ('inputs' in site) return [...site.inputs];
  if (site.packed !== undefined) return [site.packed];
  return [site.query, site.key, site.value].filter((name) => name !== null);
}

/** What is known about a model besides its graph. */
export interface RecognizerHints {
  /**
   * Length in tokens up to which masks are probed: more than any window, but no more than the
   * model's tables have.
   */
  readonly maxLength: number;
}

/**
 * Recognizes one form in which exporters write attention, or layers with a state. Everything that
 * the form can express is either described or refused: nothing is ignored.
 */
export interface SiteRecognizer {
  readonly form: string;
  /**
   * Finds all sites of this form, in the graph's order. May rewrite the graph around them, so that
   * query, key and value are separate tensors.
   *
   * @throws OctavoError `model_unsupported`: names the node, the reason, and what to export instead
   */
  recognize(graph: Graph, hints: RecognizerHints): RecognizedSite[] | Promise<RecognizedSite[]>;
}
