import { OctavoError } from '../errors.js';
import type { Engine } from './engine-port.js';

/** @throws OctavoError `engine_failed`, `engine_restarting` */
export function assertEngineReady(engine: Pick<Engine, 'state'>): void {
  switch (engine.state) {
    case 'ready':
      return;
    case 'restarting':
      throw new OctavoError('engine_restarting', 'the engine has failed and is being restarted');
    case 'failed':
      throw new OctavoError('engine_failed', 'the engine has failed');
  }
}
