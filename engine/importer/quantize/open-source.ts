import type { Graph } from '../graph.js';
import type { WeightSource } from './find-matmuls.js';
import { JoinedMatrix } from './joined-matrix.js';
import { NBitsMatrix } from './nbits-matrix.js';
import { denseSource } from './packed-source.js';
import { DenseMatrix, type StoredMatrix, type TensorBytes } from './stored-matrix.js';

/** The matrix of a weight, as it is stored. */
export function openSource(graph: Graph, source: WeightSource, bytes: TensorBytes): StoredMatrix {
  switch (source.kind) {
    case 'dense':
      return new DenseMatrix(source.tensor, bytes);
    case 'joined':
      return new JoinedMatrix(source.tensors.map((tensor) => new DenseMatrix(tensor, bytes)));
    case 'nbits':
      return new NBitsMatrix(source.node, source, bytes);
    case 'unpacked':
      return denseSource(graph, source.node, bytes);
  }
}

/** A name that equal weights have alone. */
export function sourceName(source: WeightSource): string {
  switch (source.kind) {
    case 'dense':
      return source.tensor.name;
    case 'joined':
      return source.tensors.map(({ name }) => name).join('+');
    case 'nbits':
      return source.packed.name;
    case 'unpacked':
      return source.node.output[0];
  }
}
