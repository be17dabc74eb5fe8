import type { GraphProto, ModelProto, TensorProto } from './onnx/onnx_pb.js';
import { isExternal } from './tensor-data.js';

/** The names that a model's tensors give to files of external data, relative to the model's file and not checked in any way. */
export function externalFiles(model: ModelProto): string[] {
  const names = new Set<string>();
  const add = (tensor: TensorProto): void => {
    if (!isExternal(tensor)) return;
    const location = tensor.externalData.find(({ key }) => key === 'location')?.value;
    if (location !== undefined) names.add(location);
  };
  const visit = (graph: GraphProto): void => {
    for (const tensor of graph.initializer) add(tensor);
    for (const { attribute } of graph.node) {
      for (const { t, tensors, g, graphs } of attribute) {
        for (const tensor of t ? [t, ...tensors] : tensors) add(tensor);
        for (const inner of g ? [g, ...graphs] : graphs) visit(inner);
      }
    }
  };
  if (model.graph) visit(model.graph);
  return [...names];
}
