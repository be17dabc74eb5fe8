import { textWithout } from '../text/text-without.js';
import { newCallId } from './call-ids.js';
import { GemmaCall } from './gemma-call.js';
import { MarkedParser } from './marked-parser.js';
import type { ToolFormat } from './tool-format.js';

/** @param mark stands before and behind texts */
function gemmaFormat(name: string, open: string, close: string, mark: string): ToolFormat {
  return {
    name,
    markers: [open, close, mark],
    language: {
      textAlone: textWithout(open),
      textBefore: textWithout(open),
      begin: '',
      separator: '',
      end: '',
      call: (called) => ({ before: `${open}call:${called}`, after: close }),
      arguments: null,
    },
    createParser: () =>
      new MarkedParser({ open, close, createBody: (events) => new GemmaCall(events, mark) }),
    newCallId,
  };
}

/** `<start_function_call>call:get_weather{city:<escape>Paris<escape>}<end_function_call>`. */
export const FUNCTIONGEMMA = gemmaFormat(
  'functiongemma',
  '<start_function_call>',
  '<end_function_call>',
  '<escape>',
);

/** `<|tool_call>call:get_weather{city:<|"|>Paris<|"|>}<tool_call|>`. */
export const GEMMA4 = gemmaFormat('gemma4', '<|tool_call>', '<tool_call|>', '<|"|>');
