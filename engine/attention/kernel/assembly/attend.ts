import { isInteger } from './formats';
import { LAYER_BLOCK_SIZE, LAYER_FORMAT, LAYER_HEAD_SIZE } from './layout';
import { findBlock, loadValueScales, selectionOf, tableOf, touch } from './pages';
import { TILE_NUM_QUERIES, TILE_SEQUENCE } from './plan-layout';
import { contextOf, groupOf, pastOf, tileOf } from './rows';
import { blocksPerTile, Scratch } from './scratch';
import { updateSoftmax } from './softmax';
import { stateBytes } from './states';
import { addTileOfFloats, addTileOfIntegers, scoreTileOfFloats, scoreTileOfIntegers } from './tiles';

/** With more rows, computing on a page takes longer than loading the next one. */
// @ts-ignore: decorator
@inline
const FEW_ROWS: i32 = 16;

/**
 * Attends over the blocks `begin` to `end - 1` of one span, with an online softmax (Milakov and
 * Gimelshein 2018; Dao et al. 2022, FlashAttention, algorithm 1), so that no buffer grows with the
 * context. The rows are those of several query tiles whose sequences all have these blocks (Ye et
 * al. 2024, ChunkAttention), or of one: a page is loaded once for all of them.
 *
 * The span is split at multiples of a tile of the context, wherever a window, a query or a shared
 * part begins. The order in which a row's sums are added depends on its position alone, so a row
 * has the same bits however its prompt is split into steps, and whatever it shares.
 *
 * @param tiles indices of the query tiles
 * @param states of the rows, from the blocks of the span before `begin`
 */
export function attend(
  layer: usize, step: usize, tiles: usize, numTiles: i32, rows: i32, kvHead: i32, begin: i32, end: i32, states: usize, s: Scratch,
): void {
  const headSize = load<i32>(layer, LAYER_HEAD_SIZE);
  const blockSize = load<i32>(layer, LAYER_BLOCK_SIZE);
  const integers = isInteger(load<i32>(layer, LAYER_FORMAT));
  const group = groupOf(layer);
  const perTile = blocksPerTile(layer);
  const stride = stateBytes(layer);
  const tile = tileOf(step, tiles);
  const table = tableOf(step, load<i32>(tile, TILE_SEQUENCE));
  const context = contextOf(step, tile);
  const selection = selectionOf(step, load<i32>(tile, TILE_SEQUENCE));
  const ownBlock = pastOf(step, tile) / blockSize;
  const isTouched = rows <= max(group, FEW_ROWS);

  while (begin < end) {
    let last = min((begin / perTile + 1) * perTile, end);
    if (selection != 0) {
      // What is read of a tile, in runs of blocks that follow one another.
      begin = findBlock(selection, begin, last, ownBlock, true);
      if (begin == last) continue;
      last = findBlock(selection, begin, last, ownBlock, false);
    }
    const count = (last - begin) * blockSize;
    if (isTouched) store<i32>(s.pieces, touch(layer, table, begin, last, kvHead));
    if (integers) {
      scoreTileOfIntegers(
        layer, table, begin, last, kvHead, s.queries, s.queryScales, rows, s.scores, s.scoreStride, s.pieces, s.wide,
      );
    } else {
      scoreTileOfFloats(layer, table, begin, last, kvHead, s.queries, rows, s.scores, s.scoreStride, s.wide);
    }
    const written = min(count, context - begin * blockSize);
    if (integers) loadValueScales(layer, table, begin, last, kvHead, written, s.valueScales);
    for (let t = 0, row: usize = 0; t < numTiles; t++) {
      const queries = tileOf(step, tiles + (<usize>t << 2));
      updateSoftmax(
        layer, step, queries, kvHead, s.scores + row * s.scoreStride, s.scoreStride, begin * blockSize, count, states + row * stride,
        integers ? s.valueScales : 0, s.weightScales + (row << 2),
      );
      row += <usize>(load<i32>(queries, TILE_NUM_QUERIES) * group);
    }
    if (integers) {
      addTileOfIntegers(
        layer, table, begin, last, kvHead, written, s.scores, s.scoreStride, s.weightScales, rows, states, stride, s.pieces, s.wide,
      );
    } else {
      addTileOfFloats(layer, table, begin, last, kvHead, written, s.scores, s.scoreStride, rows, states, stride, s.wide);
    }
    begin = last;
  }
}
