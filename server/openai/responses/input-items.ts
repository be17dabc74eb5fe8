import { type Static, Type } from 'typebox';
import { clip } from '../../../engine/clip.js';
import { OctavoError } from '../../../engine/errors.js';
import { Nullable } from '../fields/request-fields.js';
import { newItemId } from './ids.js';
import {
  type ImagePart,
  type Item,
  type MessageItem,
  outputText,
  type TextPart,
  type ToolOutput,
} from './items.js';

const InputText = Type.Object({ type: Type.Literal('input_text'), text: Type.String() });
const InputImage = Type.Object({
  type: Type.Literal('input_image'),
  image_url: Type.String(),
  /** Without effect: a model's processor has one size. */
  detail: Nullable(Type.Enum(['auto', 'low', 'high', 'original'])),
});
/** Known, so that it is refused by its name. */
const InputFile = Type.Object({ type: Type.Literal('input_file') });
const OutputText = Type.Object({ type: Type.Literal('output_text'), text: Type.String() });
const Refusal = Type.Object({ type: Type.Literal('refusal'), refusal: Type.String() });

/** What all items may have; answers that are sent back as input do. */
const ITEM_FIELDS = {
  id: Nullable(Type.String({ minLength: 1 })),
  status: Nullable(Type.String()),
};

const Message = Type.Object({
  ...ITEM_FIELDS,
  type: Type.Optional(Type.Literal('message')),
  role: Type.Enum(['user', 'assistant', 'system', 'developer']),
  content: Type.Union([
    Type.String(),
    Type.Array(Type.Union([InputText, InputImage, InputFile, OutputText, Refusal]), {
      minItems: 1,
    }),
  ]),
});

/** What a tool gives back. */
const ToolOutputSchema = Type.Union([
  Type.String(),
  Type.Array(Type.Union([InputText, InputImage, InputFile])),
]);

const FunctionCall = Type.Object({
  ...ITEM_FIELDS,
  type: Type.Literal('function_call'),
  call_id: Type.String({ minLength: 1 }),
  name: Type.String({ minLength: 1 }),
  arguments: Type.String(),
});

const FunctionCallOutput = Type.Object({
  ...ITEM_FIELDS,
  type: Type.Literal('function_call_output'),
  call_id: Type.String({ minLength: 1 }),
  output: ToolOutputSchema,
});

const CustomToolCall = Type.Object({
  ...ITEM_FIELDS,
  type: Type.Literal('custom_tool_call'),
  call_id: Type.String({ minLength: 1 }),
  name: Type.String({ minLength: 1 }),
  input: Type.String(),
});

const CustomToolCallOutput = Type.Object({
  ...ITEM_FIELDS,
  type: Type.Literal('custom_tool_call_output'),
  call_id: Type.String({ minLength: 1 }),
  output: ToolOutputSchema,
});

const Reasoning = Type.Object({
  ...ITEM_FIELDS,
  type: Type.Literal('reasoning'),
  content: Nullable(
    Type.Array(Type.Object({ type: Type.Literal('reasoning_text'), text: Type.String() })),
  ),
});

const ItemReference = Type.Object({
  type: Type.Literal('item_reference'),
  id: Type.String({ minLength: 1 }),
});

export const InputSchema = Type.Union([
  Type.String(),
  Type.Array(
    Type.Union([
      Message,
      FunctionCall,
      FunctionCallOutput,
      CustomToolCall,
      CustomToolCallOutput,
      Reasoning,
      ItemReference,
    ]),
    { minItems: 1 },
  ),
]);

export type Input = Static<typeof InputSchema>;

/**
 * The items of a request's `input`, each with an id.
 *
 * @param find an item that the server has kept, by its id
 * @throws OctavoError `invalid_request` for a reference to an item that is not kept
 */
export function toItems(input: Input, find: (id: string) => Item | undefined): Item[] {
  if (typeof input === 'string') return [toMessage({ role: 'user', content: input })];
  return input.map((item, index): Item => {
    const { type = 'message' } = item;
    // `type` alone does not narrow, because a message may go without.
    switch (type) {
      case 'message':
        return toMessage(item as Static<typeof Message>, `input[${index}]`);
      case 'function_call': {
        const { id, call_id, name, arguments: text } = item as Static<typeof FunctionCall>;
        return {
          id: id ?? newItemId('fc'),
          type,
          status: 'completed',
          call_id,
          name,
          arguments: text,
        };
      }
      case 'function_call_output': {
        const { id, call_id, output } = item as Static<typeof FunctionCallOutput>;
        const given = outputOf(output, `input[${index}].output`);
        return { id: id ?? newItemId('fco'), type, status: 'completed', call_id, output: given };
      }
      case 'custom_tool_call': {
        const { id, call_id, name, input: text } = item as Static<typeof CustomToolCall>;
        const own = id ?? newItemId('ctc');
        return { id: own, type, status: 'completed', call_id, name, input: text };
      }
      case 'custom_tool_call_output': {
        const { id, call_id, output } = item as Static<typeof CustomToolCallOutput>;
        const given = outputOf(output, `input[${index}].output`);
        return { id: id ?? newItemId('ctco'), type, status: 'completed', call_id, output: given };
      }
      case 'reasoning': {
        const { id, content } = item as Static<typeof Reasoning>;
        const parts = content ?? [];
        return {
          id: id ?? newItemId('rs'),
          type,
          status: 'completed',
          summary: [],
          content: parts,
        };
      }
      case 'item_reference': {
        const { id } = item as Static<typeof ItemReference>;
        const found = find(id);
        if (found) return found;
        const param = `input[${index}].id`;
        throw new OctavoError('invalid_request', `${param}: no item '${clip(id)}' is kept`, {
          param,
        });
      }
    }
  });
}

/** @throws OctavoError `invalid_request` for a file */
function outputOf(output: Static<typeof ToolOutputSchema>, at: string): ToolOutput {
  if (typeof output === 'string') return output;
  const parts = output.map((part, place): TextPart | ImagePart => {
    switch (part.type) {
      case 'input_text':
        return { type: 'input_text', text: part.text };
      case 'input_image':
        return shownImage(part);
      case 'input_file':
        throw unreadFile(`${at}[${place}]`);
    }
  });
  const texts = parts.filter((part) => part.type !== 'input_image');
  return texts.length === parts.length ? texts.map(({ text }) => text).join('') : parts;
}

const shownImage = ({ image_url, detail }: Static<typeof InputImage>): ImagePart => ({
  type: 'input_image',
  image_url,
  detail: detail ?? 'auto',
});

const unreadFile = (param: string): OctavoError =>
  new OctavoError(
    'invalid_request',
    `${param}: files are not read; send their text as input_text`,
    {
      param,
    },
  );

function toMessage({ id, role, content }: Static<typeof Message>, at = 'input'): MessageItem {
  const parts =
    typeof content === 'string' ? [{ type: 'input_text' as const, text: content }] : content;
  return {
    id: id ?? newItemId('msg'),
    type: 'message',
    status: 'completed',
    role,
    content: parts.map((part, place) => {
      if (part.type === 'input_image') return imagePart(part, role, `${at}.content[${place}]`);
      if (part.type === 'input_file') throw unreadFile(`${at}.content[${place}]`);
      const text = 'refusal' in part ? part.refusal : part.text;
      return role === 'assistant' ? outputText(text) : { type: 'input_text', text };
    }),
  };
}

/** @throws OctavoError `invalid_request` for an image of anyone but the user */
function imagePart(
  image: Static<typeof InputImage>,
  role: MessageItem['role'],
  at: string,
): ImagePart {
  if (role === 'user') return shownImage(image);
  const message = `${at}: images are read in messages of the user, and in outputs of tools`;
  throw new OctavoError('invalid_request', message, { param: at });
}
