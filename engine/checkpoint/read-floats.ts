import { open } from 'node:fs/promises';
import { clipName } from '../clip.js';
import { OctavoError } from '../errors.js';
import { float16Table } from '../float16.js';
import { STORED_BYTES, type StoredTensor, type StoredType } from './stored-tensor.js';

/**
 * The numbers of a stored tensor as float32; the whole tensor is read.
 *
 * @throws OctavoError `model_file_missing`, `model_file_corrupt`
 */
export async function readStoredFloats(tensor: StoredTensor): Promise<Float32Array> {
  const { name, type, file, offset, bytes } = tensor;
  if (!(type in STORED_BYTES)) {
    throw new OctavoError(
      'model_file_corrupt',
      `${file}: tensor ${clipName(name)} has the type ${clipName(type)}; expected ${Object.keys(STORED_BYTES).join(', ')}`,
    );
  }
  const content = new Uint8Array(bytes);
  const handle = await open(file).catch((cause: unknown) => {
    throw new OctavoError('model_file_missing', `${file}: cannot be read`, { cause });
  });
  try {
    await handle.read(content, 0, bytes, offset);
  } finally {
    await handle.close();
  }
  return widened(content, type as StoredType);
}

function widened({ buffer }: Uint8Array<ArrayBuffer>, type: StoredType): Float32Array {
  if (type === 'F32') return new Float32Array(buffer);
  const halves = new Uint16Array(buffer);
  if (type === 'F16') {
    const table = float16Table();
    return Float32Array.from(halves, (bits) => table[bits]);
  }
  // The upper half of a float32.
  const words = Uint32Array.from(halves, (bits) => bits << 16);
  return new Float32Array(words.buffer);
}
