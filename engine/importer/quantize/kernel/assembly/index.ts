export { spreadErrors } from './errors';
export { roundGroups4, roundGroups8 } from './groups';
export { columnMaxima, roundByColumn, roundByRow, roundTurned, rowMaxima } from './int8';
export { subtractProducts } from './products';
export { widenAll } from './widen';
