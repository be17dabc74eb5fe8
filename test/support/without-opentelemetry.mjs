// For --import: a process in which OpenTelemetry's packages are not installed.
import * as nodeModule from 'node:module';

// prom-client requires the API package for itself: only what is imported is missing.
function resolve(name, context, next) {
  const isOurs = name.startsWith('@opentelemetry/') && context.conditions.includes('import');
  if (!isOurs) return next(name, context);
  throw Object.assign(new Error(`Cannot find package ${name}`), { code: 'ERR_MODULE_NOT_FOUND' });
}

// Node 20 has only the older way, for which Node 26 prints a warning.
if (nodeModule.registerHooks) nodeModule.registerHooks({ resolve });
else nodeModule.register(`data:text/javascript,export ${encodeURIComponent(String(resolve))}`);
