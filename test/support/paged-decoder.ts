import { fromBinary } from '@bufbuild/protobuf';
import { planPages } from '../../engine/attention/page-layout.js';
import { analyzeModel } from '../../engine/importer/analyze-model.js';
import { emitPagedDecoder, type PagedDecoder } from '../../engine/importer/emit/paged-decoder.js';
import type { DeviceAbilities } from '../../engine/importer/emit/refuse-sites.js';
import { ModelProtoSchema, type NodeProto } from '../../engine/importer/onnx/onnx_pb.js';
import { readModelConfig } from '../../engine/model/model-config.js';

export const ALL_RIGHT: DeviceAbilities = { plain: null, windows: null, sinks: null };

/**
 * A model's file as a device would run it.
 *
 * @param length longest sequence in tokens; default: as config.json says
 */
export async function pagedDecoder(
  modelDir: string,
  abilities: DeviceAbilities = ALL_RIGHT,
  length?: number,
): Promise<PagedDecoder> {
  const maxLength = length ?? (await readModelConfig(modelDir)).maxPositionEmbeddings;
  const analyzed = await analyzeModel({ modelDir, maxLength });
  return emitPagedDecoder(analyzed, planPages(analyzed.sites, maxLength, 16), abilities);
}

/** The nodes of what was emitted. */
export function nodesOf({ whole }: PagedDecoder): readonly NodeProto[] {
  return fromBinary(ModelProtoSchema, whole.write(null).model).graph?.node ?? [];
}
