// Where blocks are drawn: a cell for each, or for so many that a cell can still be seen.

/**
 * CSS pixels of a cell's side: smaller ones cannot be told apart, larger ones look like a table.
 */
const SMALLEST = 10;
const LARGEST = 48;

/**
 * A grid of cells in rows from the left to the right.
 *
 * @typedef {object} Grid
 * @property {number} perCell blocks of a cell: 1, 2, 4, 8, ...
 * @property {number} cells
 * @property {number} columns
 * @property {number} rows
 * @property {number} width of a cell, its gap included; not whole
 * @property {number} height likewise
 */

/**
 * The grid that fills a box best; all its cells have nearly equal sides.
 *
 * @param {number} blocks at least one
 * @param {number} width of the box in CSS pixels, more than 0
 * @param {number} height likewise
 * @returns {Grid}
 */
export function gridFor(blocks, width, height) {
  const room = Math.max(1, Math.floor(width / SMALLEST) * Math.floor(height / SMALLEST));
  let perCell = 1;
  while (Math.ceil(blocks / perCell) > room) perCell *= 2;
  const cells = Math.ceil(blocks / perCell);
  const side = Math.min(LARGEST, Math.sqrt((width * height) / cells));
  let columns = Math.max(1, Math.min(cells, Math.round(width / side)));
  // Rounded down, the last row might not fit; more columns make the cells narrower, not fewer.
  while (columns < cells && Math.ceil(cells / columns) * SMALLEST > height) columns++;
  const rows = Math.ceil(cells / columns);
  return {
    perCell,
    cells,
    columns,
    rows,
    width: Math.min(LARGEST, width / columns),
    height: Math.min(LARGEST, height / rows),
  };
}
