import { type Logger, pino, stdTimeFunctions } from 'pino';
import { PinoPretty } from 'pino-pretty';

/** Lines for people when they watch (a terminal), JSON for machines otherwise. */
export function createLogger(level: string, output: NodeJS.WriteStream): Logger {
  const options = { level, timestamp: stdTimeFunctions.isoTime, base: null };
  if (!output.isTTY) return pino(options, output);
  return pino(
    options,
    PinoPretty({ colorize: true, translateTime: 'SYS:HH:MM:ss.l', destination: output }),
  );
}
