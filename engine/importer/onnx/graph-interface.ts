import { type ByteRange, type FieldReader, readFields } from './field-reader.js';

/** Numbers of fields: of a ModelProto, a GraphProto and a ValueInfoProto. */
const GRAPH = 7;
const INPUT = 11;
const OUTPUT = 12;
const NAME = 1;

/** What a graph takes and gives, by name. */
export interface GraphInterface {
  /** Old exporters list the weights, too. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

/**
 * The names of a graph's inputs and outputs; its weights are not read.
 *
 * @throws OctavoError `model_file_missing`, `model_file_corrupt`
 */
export function graphInterface(file: string): GraphInterface {
  return readFields(file, (reader) => {
    const found: Record<'inputs' | 'outputs', string[]> = { inputs: [], outputs: [] };
    for (const { number, content } of reader.fields({ start: 0, end: reader.size })) {
      if (number !== GRAPH || content === null) continue;
      for (const { number: kind, content: value } of reader.fields(content)) {
        if (value === null) continue;
        if (kind === INPUT) found.inputs.push(nameOf(reader, value));
        if (kind === OUTPUT) found.outputs.push(nameOf(reader, value));
      }
    }
    return found;
  });
}

function nameOf(reader: FieldReader, value: ByteRange): string {
  for (const { number, content } of reader.fields(value)) {
    if (number === NAME && content !== null) return reader.text(content);
  }
  return '';
}
