/** A tensor of a file that a test writes; what is left out is right. */
export interface WrittenTensor {
  readonly name: string;
  readonly dtype?: string;
  readonly shape: readonly number[];
  readonly values?: Float32Array;
}

/** A .safetensors file of float32. */
export function safetensors(tensors: readonly WrittenTensor[]): Uint8Array {
  const header: Record<string, unknown> = {};
  const parts: Uint8Array[] = [];
  let end = 0;
  for (const { name, dtype = 'F32', shape, values } of tensors) {
    const data = values ?? new Float32Array(shape.reduce((a, b) => a * b, 1));
    header[name] = { dtype, shape, data_offsets: [end, end + data.byteLength] };
    parts.push(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    end += data.byteLength;
  }
  return withHeader(JSON.stringify(header), Buffer.concat(parts));
}

/** A file with any header, right or not. */
export function withHeader(
  header: string | Uint8Array,
  data: Uint8Array,
  length?: number,
): Uint8Array {
  const bytes = Buffer.from(header);
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(length ?? bytes.length));
  return Buffer.concat([prefix, bytes, data]);
}
