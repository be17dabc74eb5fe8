import { dirname, relative, sep } from 'node:path';
import { create } from '@bufbuild/protobuf';
import type { Graph } from './graph.js';
import { StringStringEntryProtoSchema, type TensorProto } from './onnx/onnx_pb.js';
import { externalRange, isExternal } from './tensor-data.js';

/** How segments refer to external data. */
export interface PlacedWeights {
  /** Directory of all files of external data; null when there are none. */
  readonly directory: string | null;
  /** A weight as a segment states it: external data is named by its path in `directory`. */
  readonly place: (tensor: TensorProto) => TensorProto;
}

/**
 * External data stays where it is, and ONNX Runtime maps it into memory. It refuses symbolic links
 * that leave the model's directory, which the hub's cache has ("escapes model directory", measured
 * with 1.30), so segments name the files that the links lead to.
 *
 * @param beside a directory of another file of external data, which is to be in `directory`, too
 * @throws OctavoError `model_file_corrupt` for external data that is missing, too short or outside
 *   the model's directory
 */
export function placeWeights(graph: Graph, beside?: string): PlacedWeights {
  const external = graph.allInitializers().filter(isExternal);
  const files = new Map(
    external.map((tensor) => [tensor, externalRange(tensor, graph.file)] as const),
  );
  const directories = [...files.values()].map(({ file }) => dirname(file));
  const directory = commonDirectory(beside === undefined ? directories : [...directories, beside]);
  return {
    directory,
    place: (tensor) => {
      const range = files.get(tensor);
      if (!range || directory === null) return tensor;
      const { offset, length } = range;
      const location = relative(directory, range.file).replaceAll(sep, '/');
      const entries = Object.entries({ location, offset, length });
      const externalData = entries.map(([key, value]) =>
        create(StringStringEntryProtoSchema, { key, value: String(value) }),
      );
      return { ...tensor, externalData };
    },
  };
}

/** The deepest directory that holds all of these; null when there are none. */
export function commonDirectory(directories: readonly string[]): string | null {
  if (directories.length === 0) return null;
  const [first, ...others] = directories.map((directory) => directory.split(sep));
  let depth = first.length;
  for (const parts of others) {
    let same = 0;
    while (same < depth && parts[same] === first[same]) same += 1;
    depth = same;
  }
  return first.slice(0, depth).join(sep) || sep;
}
