import type { Graph } from './graph.js';

/**
 * The tool that wrote a file, for messages: by its producer name, and by the graph where several
 * tools share a name.
 */
export function describeExporter(graph: Graph): string {
  const { producerName, producerVersion } = graph.model;
  const known = byProducer(graph, producerName);
  if (known) return `${known} ${producerVersion}`.trim();
  const origin = byGraph(graph);
  if (producerName === '') return origin ? `${origin} (by its graph)` : 'unknown';
  const named = `${producerName} ${producerVersion}`.trim();
  return origin ? `${named}, of a graph by ${origin}` : named;
}

function byProducer(graph: Graph, name: string): string | undefined {
  switch (name) {
    case 'onnxruntime-genai':
      return "ONNX Runtime GenAI's model builder";
    case 'mobius':
      return 'mobius';
    case 'optimum-onnx':
      return 'Optimum, a merged decoder';
    case 'onnxruntime.transformers':
      return "ONNX Runtime's transformer optimizer";
    case 'pytorch':
      return byTorch(graph);
    default:
      return undefined;
  }
}

/** Several exporters call torch's, and the file then names torch as its producer. */
function byTorch(graph: Graph): string {
  const inputs = [...graph.inputs.keys()];
  const isDynamo = graph.nodes.some(({ name }) => name.startsWith('node_'));
  if (!isDynamo) return "torch's TorchScript exporter (Optimum's), torch";
  return inputs.some((name) => name.startsWith('input.cache.layers.'))
    ? "transformers' OnnxExporter, torch"
    : "torch's dynamo exporter, torch";
}

/** Names of nodes that only one tool writes. */
function byGraph(graph: Graph): string | undefined {
  const has = (start: string): boolean => graph.nodes.some(({ name }) => name.startsWith(start));
  if (has('/model/attn_mask_reformat/')) return "ONNX Runtime GenAI's model builder";
  if (has('node_')) return "torch's dynamo exporter";
  if (graph.inputs.has('use_cache_branch')) return 'Optimum, a merged decoder';
  return has('/model/') || has('/transformer/') ? "torch's TorchScript exporter" : undefined;
}
