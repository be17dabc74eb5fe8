import { toBinary } from '@bufbuild/protobuf';
import { InferenceSession } from 'onnxruntime-node';
import { OctavoError, reasonOf } from '../errors.js';
import type { Graph } from './graph.js';
import { ModelProtoSchema } from './onnx/onnx_pb.js';
import { placeWeights } from './place-weights.js';

/**
 * Opens a graph as one session on the CPU. While nothing runs in it, its threads sleep.
 *
 * @throws OctavoError `model_unsupported` when ONNX Runtime refuses it; `model_file_corrupt` for
 *   external data that is missing
 */
export async function openWholeSession(graph: Graph, threads: number): Promise<InferenceSession> {
  const { directory, place } = placeWeights(graph);
  const inner = graph.model.graph;
  if (inner) {
    inner.initializer = graph.allInitializers().map(place);
    // Passes change the graph's list of nodes, not the file's.
    inner.node = [...graph.nodes];
  }
  const bytes = toBinary(ModelProtoSchema, graph.model);
  const folder =
    directory === null ? {} : { model_external_initializers_file_folder_path: directory };
  try {
    return await InferenceSession.create(bytes, {
      executionProviders: ['cpu'],
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      extra: { session: { force_spinning_stop: '1', ...folder } },
    });
  } catch (cause) {
    const what = `${graph.file}: ONNX Runtime refuses it: ${reasonOf(cause)}`;
    throw new OctavoError('model_unsupported', what, { cause });
  }
}
