import { access, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fromBinary } from '@bufbuild/protobuf';
import { OctavoError } from '../errors.js';
import { type ModelProto, ModelProtoSchema } from './onnx/onnx_pb.js';

/** Lengths in a protobuf are 31 bits. */
const MAX_BYTES = 2 ** 31;
/** Beginning of a Git LFS pointer: a clone without large files has these in their place. */
const LFS = 'version https://git-lfs';

/** @throws OctavoError `model_file_missing` */
export async function findModelFile(modelDir: string, path: string): Promise<string> {
  const file = join(modelDir, path);
  const exists = await access(file).then(
    () => true,
    () => false,
  );
  if (exists) return file;
  throw new OctavoError('model_file_missing', `${modelDir}: no ONNX model; looked for ${path}`);
}

/**
 * Reads the protobuf. Inline weights stay views of the file's bytes; external data is not read.
 *
 * @throws OctavoError `model_file_missing`, `model_file_corrupt`: which file, and what is wrong
 *   with it
 */
export async function readModelProto(file: string): Promise<ModelProto> {
  let bytes: Uint8Array;
  try {
    const { size } = await stat(file);
    if (size >= MAX_BYTES) {
      const what = `has ${size} bytes, and a protobuf ends before 2 GiB; larger models keep their weights in external data`;
      throw corrupt(file, what);
    }
    bytes = await readFile(file);
    if (bytes.length < 1024 && Buffer.from(bytes).toString('latin1').startsWith(LFS)) {
      throw corrupt(file, 'is a pointer of git-lfs, not the file itself: git lfs pull fetches it');
    }
  } catch (cause) {
    if (cause instanceof OctavoError) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new OctavoError('model_file_missing', `${file}: cannot be read: ${reason}`, { cause });
  }
  let model: ModelProto;
  try {
    model = fromBinary(ModelProtoSchema, bytes);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw corrupt(
      file,
      `is not a complete ONNX protobuf (${bytes.length} bytes): ${reason}`,
      cause,
    );
  }
  // An empty or foreign file often parses: every field of a protobuf is optional.
  if (!model.graph || model.graph.node.length === 0) {
    throw corrupt(file, `holds no ONNX graph (${bytes.length} bytes)`);
  }
  if (model.graph.output.length === 0) throw corrupt(file, 'holds a graph without outputs');
  // Operator sets follow the graph in the file: without this check, a file that was cut off between
  // them would look complete.
  const imported = new Set(model.opsetImport.map(({ domain }) => domainOf(domain)));
  const stray = model.graph.node.find(({ domain }) => !imported.has(domainOf(domain)));
  if (stray) {
    throw corrupt(
      file,
      `does not import the operator set ${domainOf(stray.domain)} of node ${stray.name}; it may be cut short`,
    );
  }
  return model;
}

/** The standard operators' domain has two names. */
function domainOf(domain: string): string {
  return domain === '' ? 'ai.onnx' : domain;
}

function corrupt(file: string, what: string, cause?: unknown): OctavoError {
  return new OctavoError('model_file_corrupt', `${file}: ${what}`, { cause });
}
