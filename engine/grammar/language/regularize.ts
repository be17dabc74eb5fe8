import { type Expression, regular, sequenceOf } from './expression.js';

/**
 * Marks the largest parts of a grammar that contain a repetition and refer to no rules. They are
 * printed as automata, whose masks are computed when the grammar is compiled.
 */
export function regularize(expression: Expression): Expression {
  if (isFree(expression)) return repeats(expression) ? regular(expression) : expression;
  switch (expression.kind) {
    case 'choice':
      return { ...expression, items: expression.items.map(regularize) };
    case 'repeat':
      return { ...expression, item: regularize(expression.item) };
    case 'sequence': {
      const items: Expression[] = [];
      let free: Expression[] = [];
      const flush = (): void => {
        if (free.length > 0) items.push(regularize(sequenceOf(free)));
        free = [];
      };
      for (const item of expression.items) {
        if (isFree(item)) free.push(item);
        else {
          flush();
          items.push(regularize(item));
        }
      }
      flush();
      return { kind: 'sequence', items };
    }
    case 'text':
    case 'class':
    case 'machine':
    case 'rule':
    case 'regular':
      return expression;
  }
}

function isFree(expression: Expression): boolean {
  switch (expression.kind) {
    case 'sequence':
    case 'choice':
      return expression.items.every(isFree);
    case 'repeat':
      return isFree(expression.item);
    case 'rule':
      return false;
    case 'text':
    case 'class':
    case 'machine':
    case 'regular':
      return true;
  }
}

function repeats(expression: Expression): boolean {
  if (expression.kind === 'repeat') return true;
  const isList = expression.kind === 'sequence' || expression.kind === 'choice';
  return isList && expression.items.some(repeats);
}
