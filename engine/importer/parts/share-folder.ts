import { dirname, join, relative, sep } from 'node:path';
import { create } from '@bufbuild/protobuf';
import type { Graph } from '../graph.js';
import { StringStringEntryProtoSchema } from '../onnx/onnx_pb.js';
import { commonDirectory } from '../place-weights.js';
import { isExternal } from '../tensor-data.js';

/**
 * External data is named from the folder of its graph's file. Where two graphs that become one have
 * folders of their own, this names the data of both from the folder that holds them.
 *
 * @param graphs whose tensors are changed, the first that of the decoder
 * @returns a path directly in that folder: the file of the graph that the two become, for messages
 *   and for its weights. It is the decoder's folder where that is not the file itself.
 */
export function shareFolder(...graphs: readonly [Graph, Graph]): string {
  const folders = graphs.map(({ file }) => dirname(file));
  const shared = commonDirectory(folders) ?? folders[0];
  graphs.forEach((graph, index) => {
    const way = relative(shared, folders[index]).replaceAll(sep, '/');
    if (way === '') return;
    for (const tensor of graph.allInitializers().filter(isExternal)) {
      tensor.externalData = tensor.externalData.map(({ key, value }) =>
        create(StringStringEntryProtoSchema, {
          key,
          value: key === 'location' ? `${way}/${value}` : value,
        }),
      );
    }
  });
  return join(shared, relative(shared, graphs[0].file).split(sep)[0]);
}
