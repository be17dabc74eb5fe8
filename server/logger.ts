import { type Logger, pino, stdTimeFunctions } from 'pino';
import { PinoPretty } from 'pino-pretty';

/**
 * Writes readable lines on a terminal, and JSON otherwise. A reader that closes the pipe
 * (`octavo serve | head`) ends the log, not the server. While the disk is full, lines are lost.
 *
 * @param warn called once when the log cannot be written
 */
export function createLogger(
  level: string,
  output: NodeJS.WriteStream,
  warn: (line: string) => void,
): Logger {
  const options = { level, timestamp: stdTimeFunctions.isoTime, base: null };
  const lines = output.isTTY
    ? PinoPretty({
        colorize: output.hasColors(),
        translateTime: 'SYS:HH:MM:ss.l',
        // A request has some 20 fields. Its `error` is a name; what has a stack is `err`.
        singleLine: true,
        errorLikeObjectKeys: ['err'],
        destination: output,
      })
    : output;
  const logger = pino(options, lines);
  let warned = false;
  output.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') logger.level = 'silent';
    if (!warned) warn(`octavo: the log cannot be written: ${error.message}`);
    warned = true;
  });
  return logger;
}
