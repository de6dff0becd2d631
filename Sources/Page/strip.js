// Who is in the batch, as a strip that moves: a column a second, one colour an adapter.

import { element, fitCanvas, setText, withColours } from './dom.js';
import * as format from './format.js';

const columnWidth = 6, hueCount = 8;

export class Strip {
  constructor(canvas, legend) {
    this.canvas = canvas;
    this.legend = legend;
    this.columns = [];
    /** Key to hue, of those in view. */
    this.hues = new Map();
    this.sum = this.empty();
    withColours((read) => {
      this.colours = Array.from({ length: hueCount }, (_, index) => read(`hue-${index + 1}`));
      this.base = read('base');
      this.other = read('other');
      this.line = read('line');
      this.ink = read('dim');
      this.draw();
    });
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  empty() { return { seconds: 0, all: 0, parts: new Map() }; }

  /** Takes in what a message of the state says: requests in all, and seconds that adapters were in use. */
  add(passed, running, active) {
    if (!(passed > 0) || passed > 5) return;
    const { sum } = this;
    sum.seconds += passed;
    sum.all += running * passed;
    for (const [key, { busy }] of active) sum.parts.set(key, (sum.parts.get(key) ?? 0) + busy);
    if (sum.seconds < 1) return;
    const parts = new Map([...sum.parts].map(([key, busy]) => [key, busy / sum.seconds]).sort((a, b) => b[1] - a[1]));
    let adapters = 0;
    for (const rate of parts.values()) adapters += rate;
    // Messages are not quite evenly spaced, so a small rest is no request of the base.
    const rest = sum.all / sum.seconds - adapters;
    this.columns.push({ parts, base: rest > 0.12 * Math.max(1, adapters) ? rest : 0 });
    this.sum = this.empty();
    const most = Math.ceil(this.canvas.clientWidth / columnWidth) || 300;
    if (this.columns.length > most) this.columns.splice(0, this.columns.length - most);
    this.#give();
    this.draw();
  }

  /** Gives the busiest in view a colour, and keeps those that have one. */
  #give() {
    const weight = new Map();
    for (const { parts } of this.columns) for (const [key, rate] of parts) weight.set(key, (weight.get(key) ?? 0) + rate);
    for (const key of this.hues.keys()) if (!weight.has(key)) this.hues.delete(key);
    for (const [key] of [...weight].sort((a, b) => b[1] - a[1])) {
      if (this.hues.size >= hueCount) break;
      if (this.hues.has(key)) continue;
      const taken = new Set(this.hues.values());
      this.hues.set(key, [...Array(hueCount).keys()].find((hue) => !taken.has(hue)));
    }
  }

  draw() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !this.colours) return;
    const context = fitCanvas(this.canvas, width, height);
    const top = Math.max(4, ...this.columns.map(({ parts, base }) => [...parts.values()].reduce((a, b) => a + b, base)));
    const scale = (height - 4) / top;
    context.fillStyle = this.line;
    for (const part of [0.25, 0.5, 0.75, 1]) context.fillRect(0, Math.round(height - part * (height - 4)) - 0.5, width, 1);
    this.columns.forEach((column, number) => {
      const x = width - (this.columns.length - number) * columnWidth;
      let y = height;
      const band = (rate, colour) => {
        context.fillStyle = colour;
        context.fillRect(x, y - rate * scale, columnWidth - 1, rate * scale);
        y -= rate * scale;
      };
      band(column.base, this.base);
      let other = 0;
      for (const [key, hue] of this.hues) if (column.parts.has(key)) band(column.parts.get(key), this.colours[hue]);
      for (const [key, rate] of column.parts) if (!this.hues.has(key)) other += rate;
      if (other) band(other, this.other);
    });
    context.fillStyle = this.ink;
    context.font = '11px system-ui, sans-serif';
    context.fillText(format.number(top), 2, 13);
  }

  /** Names beside their colours, with requests at once. */
  writeLegend(nameOf) {
    const last = this.columns.at(-1) ?? { parts: new Map(), base: 0 };
    let other = 0;
    for (const [key, rate] of last.parts) if (!this.hues.has(key)) other += rate;
    const rows = [['base', 'base', last.base],
      ...[...this.hues].map(([key, hue]) => [`hue-${hue + 1}`, nameOf(key), last.parts.get(key) ?? 0])];
    if (other) rows.push(['other', 'others', other]);
    while (this.legend.children.length > rows.length) this.legend.lastChild.remove();
    rows.forEach(([colour, name, rate], index) => {
      let item = this.legend.children[index];
      if (!item) {
        item = element('li', {}, element('i'), element('span'), element('b'));
        this.legend.append(item);
      }
      const [mark, label, number] = item.children;
      mark.className = `swatch ${colour}`;
      setText(label, name);
      setText(number, format.number(Math.round(rate * 10) / 10));
    });
  }
}
