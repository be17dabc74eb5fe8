// Light or dark: as the system says, unless the reader has chosen. Runs before the first paint.

const KEY = 'octavo-theme';
const system = matchMedia('(prefers-color-scheme: dark)');
/** @type {Set<() => void>} */
const listeners = new Set();

const chosen = () => localStorage.getItem(KEY);
const isDark = () => (chosen() ?? (system.matches ? 'dark' : 'light')) === 'dark';

function apply() {
  document.documentElement.style.colorScheme = chosen() ?? '';
  for (const listen of listeners) listen();
}

apply();
system.addEventListener('change', apply);

/**
 * Makes a button switch between light and dark. A choice that is the system's own is not kept.
 *
 * @param {HTMLElement} button
 */
export function addThemeToggle(button) {
  button.addEventListener('click', () => {
    const next = isDark() ? 'light' : 'dark';
    if ((next === 'dark') === system.matches) localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, next);
    apply();
  });
}

/**
 * Calls `listener` whenever colors have changed: a canvas does not follow by itself.
 *
 * @param {() => void} listener
 * @returns {() => void} ends it
 */
export function onTheme(listener) {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

/**
 * A custom property's color as it is now, in a form that a canvas takes.
 *
 * @param {string} name
 */
export function color(name) {
  const probe = document.createElement('span');
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}
