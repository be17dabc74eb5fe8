import { Type } from 'typebox';
import { extra, size } from '../../engine/setting-schema.js';

/** Settings of `/v1/files` and `/v1/batches`. */
export const BATCH_SETTINGS = {
  batchDir: Type.Optional(
    Type.String({
      ...extra({
        description:
          'directory of the files and batches of /v1/files and /v1/batches, of this server alone (default: none, and no batches)',
        group: 'HTTP',
        scope: 'server',
        value: 'directory',
      }),
      minLength: 1,
    }),
  ),
  maxBatchFileSize: size(
    {
      description: 'size of one uploaded file, at most (default: 200MiB)',
      group: 'HTTP',
      scope: 'server',
    },
    200 * 2 ** 20,
  ),
  maxBatchStorage: size(
    {
      description:
        'size of all files in --batch-dir from which on no more are taken (default: 4GiB)',
      group: 'HTTP',
      scope: 'server',
    },
    4 * 2 ** 30,
  ),
  batchMaxNumSeqs: Type.Integer({
    ...extra({
      description:
        'sequences of batches that run at a time, over all of them; 0: a quarter of --max-num-seqs',
      group: 'HTTP',
      scope: 'server',
    }),
    minimum: 0,
    maximum: 1024,
    default: 0,
  }),
};
