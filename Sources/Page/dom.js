// Elements, made without markup: what comes from outside is only ever text.

/** Makes an element. `properties` are attributes; `class`, `text` and `on…` handlers as one expects. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === 'class') made.className = value;
    else if (name === 'text') made.textContent = value;
    else if (name.startsWith('on')) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? '' : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export const byId = (id) => document.getElementById(id);

// What follows takes a node or its id, and changes only what differs, so that nothing is laid out for nothing.

const at = (node) => (typeof node === 'string' ? byId(node) : node);

export function setText(node, text) {
  if (at(node).textContent !== text) at(node).textContent = text;
}

export function setHidden(node, isHidden) {
  if (at(node).hidden !== isHidden) at(node).hidden = isHidden;
}

/** A text that is shown only while there is one. */
export function setNotice(node, text) {
  setText(node, text);
  setHidden(node, text === '');
}

/** Sets the width of a bar to a share of its track. */
export function setShare(bar, share) {
  const width = `${(Math.min(1, Math.max(0, share || 0)) * 100).toFixed(1)}%`;
  if (at(bar).style.width !== width) at(bar).style.width = width;
}

/** Names and values, one below the other; null values are left out. */
export function definitions(pairs, list = element('dl', { class: 'facts' })) {
  list.replaceChildren();
  for (const [name, value] of pairs) {
    if (value === null || value === undefined || value === '') continue;
    list.append(element('dt', { text: name }),
      value instanceof Node ? element('dd', {}, value) : element('dd', { text: value }));
  }
  return list;
}

const calm = matchMedia('(prefers-reduced-motion: reduce)');
export const isCalm = () => calm.matches;

const dark = matchMedia('(prefers-color-scheme: dark)');
/** Calls back at once and whenever the colours change, with a function that reads a custom property. */
export function withColours(use) {
  const tell = () => {
    const style = getComputedStyle(document.documentElement);
    use((name) => style.getPropertyValue(`--${name}`).trim());
  };
  dark.addEventListener('change', () => requestAnimationFrame(tell));
  tell();
}

/** Fits a canvas to its box in device pixels. Returns its context, scaled to CSS pixels. */
export function fitCanvas(canvas, width, height) {
  const ratio = Math.min(2, devicePixelRatio || 1);
  canvas.width = Math.max(1, Math.round(width * ratio));
  canvas.height = Math.max(1, Math.round(height * ratio));
  const context = canvas.getContext('2d');
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return context;
}
