import * as library from '@huggingface/jinja';
import type { RuntimeValue } from './python-text.js';

/** A node of the library's syntax tree. */
export interface Node {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** Variables in a scope, and in the scopes around it. */
export interface Environment {
  readonly parent?: Environment;
  readonly variables: Map<string, RuntimeValue>;
  /** The library's tests (`is defined`), the same in all scopes. */
  readonly tests: ReadonlyMap<string, (operand: RuntimeValue) => boolean>;
  /** Declares a variable; plain values are converted to the library's. */
  set(name: string, value: unknown): RuntimeValue;
  setVariable(name: string, value: RuntimeValue): RuntimeValue;
}

/** The part of the library that is used. Its own declarations do not resolve under `nodenext`. */
interface Library {
  readonly Template: new (source: string) => { readonly parsed: Node };
  readonly Environment: new () => Environment;
  readonly Interpreter: new (
    environment: Environment,
  ) => {
    run(program: Node): RuntimeValue;
    evaluate(node: Node | undefined, environment: Environment): RuntimeValue;
    /** Output of the statements of a body; called for every body. */
    evaluateBlock(statements: readonly Node[], environment: Environment): RuntimeValue;
  };
}

export const { Template, Environment, Interpreter } = library as unknown as Library;

type Maker<Plain> = (value: Plain) => RuntimeValue;

/**
 * Makes values of one of the library's classes, which it does not export: it is found by an
 * example. The library's constructors are not used. They initialize fields in a way that is slow
 * where many classes share it, and that was most of a template's work.
 */
function makerOf<Plain>(example: unknown): Maker<Plain> {
  const { type, constructor } = new Environment().set('example', example);
  class Own {
    declare readonly type: string;
    declare readonly value: Plain;
    /** Methods, which the library makes when one is called. */
    declare readonly _builtins: undefined;

    constructor(value: Plain) {
      this.type = type;
      this.value = value;
      this._builtins = undefined;
    }
  }
  Object.setPrototypeOf(Own.prototype, constructor.prototype as object);
  return (value) => new Own(value) as unknown as RuntimeValue;
}

export const textValue: Maker<string> = makerOf('');
export const truthValue: Maker<boolean> = makerOf(true);
export const integerValue: Maker<number> = makerOf(0);
const floatValue: Maker<number> = makerOf(0.5);
const listValue: Maker<readonly RuntimeValue[]> = makerOf([]);
export const objectValue: Maker<Map<string, RuntimeValue>> = makerOf({});
const makeNull: Maker<null> = makerOf(null);
const makeUndefined: Maker<undefined> = makerOf(undefined);
export const nullValue = (): RuntimeValue => makeNull(null);
export const undefinedValue = (): RuntimeValue => makeUndefined(undefined);

/** A plain value as the library converts it. */
export function valueOf(plain: unknown): RuntimeValue {
  switch (typeof plain) {
    case 'string':
      return textValue(plain);
    case 'number':
      return Number.isInteger(plain) ? integerValue(plain) : floatValue(plain);
    case 'boolean':
      return truthValue(plain);
    case 'undefined':
      return undefinedValue();
    case 'function':
    case 'bigint':
    case 'symbol':
      // The library wraps functions, and refuses the others.
      return new Environment().set('value', plain);
    case 'object': {
      if (plain === null) return nullValue();
      if (Array.isArray(plain)) return listValue(plain.map(valueOf));
      const fields = new Map<string, RuntimeValue>();
      for (const [name, field] of Object.entries(plain)) fields.set(name, valueOf(field));
      return objectValue(fields);
    }
  }
}

/** As Python's `bool`. */
export function isTrue({ value }: RuntimeValue): boolean {
  if (Array.isArray(value)) return value.length > 0;
  return value instanceof Map ? value.size > 0 : Boolean(value);
}

/** The scope of one turn of a loop. The library's constructor would declare `namespace` again. */
export function scopeIn(parent: Environment): Environment {
  const scope = Object.create(Environment.prototype as object) as object;
  const fields = { parent, variables: new Map<string, RuntimeValue>(), tests: parent.tests };
  return Object.assign(scope, fields) as Environment;
}

/** A variable's value; the library throws and catches an error for each that is undefined. */
export function lookUp(name: string, environment: Environment): RuntimeValue {
  for (let scope: Environment | undefined = environment; scope; scope = scope.parent) {
    const value = scope.variables.get(name);
    if (value !== undefined) return value;
  }
  return undefinedValue();
}
