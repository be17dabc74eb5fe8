import type { Expression } from '../language/expression.js';
import type { JsonStyle } from './json-rules.js';
import type { Meet, SchemaDocument } from './located.js';

/** What the writers of one kind of value need of the compiler of the whole schema. */
export interface RuleContext {
  readonly document: SchemaDocument;
  readonly style: JsonStyle;
  /**
   * @returns the expression of all values that are valid by all of these schemas; null when there
   *   is none
   */
  valueOf(meet: Meet): Expression | null;
  /**
   * The lists that the schemas stand for, with each `oneOf` proved to be one of its alternatives.
   */
  alternativesOf(meet: Meet): readonly Meet[];
  /** Makes a rule of an expression. @returns a reference to it */
  define(expression: Expression): Expression;
}
