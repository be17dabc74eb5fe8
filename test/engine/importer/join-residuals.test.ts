import { fromBinary } from '@bufbuild/protobuf';
import { expect, it } from 'vitest';
import { ModelProtoSchema } from '../../../engine/importer/onnx/onnx_pb.js';
import { openModel } from '../../../engine/model/open-model.js';
import { checkpointDir } from '../../support/checkpoint-fixtures.js';

/** How often each operator is in a built model, outside of its LM head's ranking. */
async function operators(fixture: string): Promise<(opType: string) => number> {
  const { segments } = await openModel({ modelDir: checkpointDir(fixture), maxLength: 64 });
  const nodes = segments.flatMap(({ model }) => fromBinary(ModelProtoSchema, model).graph?.node);
  return (opType) => nodes.filter((node) => node?.opType === opType).length;
}

it('leaves no residual sum apart from the norm behind it', async () => {
  const count = await operators('llama3');
  // Two layers: only the first norm has no sum before it.
  expect(count('SkipSimplifiedLayerNormalization')).toBe(4);
  expect(count('SimplifiedLayerNormalization')).toBe(1);
  expect(count('Add')).toBe(0);
});

it('joins norms with means, too', async () => {
  const count = await operators('starcoder2');
  expect(count('SkipLayerNormalization')).toBe(4);
  expect(count('LayerNormalization')).toBe(1);
});

it('leaves sums of branches side by side that no norm follows', async () => {
  const count = await operators('cohere');
  // Attention and feed-forward block of a layer are added one after the other.
  expect(count('Add')).toBe(2);
  expect(count('SkipLayerNormalization')).toBe(2);
});
