// Where an adapter's cell lies in its lane, and how it is drawn.

const chip = { width: 128, height: 24, gap: 4 };

/** The largest cells of which `count` fit into a track. */
export function geometry(width, height, count) {
  const columns = Math.max(1, Math.floor((width + chip.gap) / (Math.min(chip.width, width) + chip.gap)));
  const rows = Math.floor((height + chip.gap) / (chip.height + chip.gap));
  if (columns * rows >= count) {
    const pitch = (width + chip.gap) / columns;
    return { isChip: true, columns, rows, pitchX: pitch, pitchY: chip.height + chip.gap,
      width: Math.min(pitch - chip.gap, 180), height: chip.height };
  }
  for (let size = 16; size >= 1; size -= 1) {
    const pitch = size + (size > 5 ? 2 : 1);
    const fit = { isChip: false, columns: Math.floor(width / pitch), rows: Math.floor(height / pitch),
      pitchX: pitch, pitchY: pitch, width: size, height: size };
    if (fit.columns * fit.rows >= count || size === 1) return fit;
  }
}

/** Draws cells in the page's colours. */
export class Painter {
  constructor(store) {
    this.store = store;
  }

  setColours(read) {
    this.tiers = { source: read('source'), disk: read('disk'), host: read('host'), device: read('device') };
    this.ink = read('ink');
    this.fault = read('fault');
    this.chip = read('raised');
  }

  draw(context, entry, x, y, cell) {
    const warmth = Math.min(1, Math.log10(1 + this.store.heat(entry)) / 4);
    const colour = entry.fault ? this.fault : this.tiers[entry.tier];
    const progress = this.store.progress(entry);
    if (cell.isChip) this.#chip(context, entry, x, y, cell, colour, warmth, progress);
    else this.#square(context, entry, x, y, cell, colour, warmth, progress);
    context.globalAlpha = 1;
  }

  #square(context, entry, x, y, cell, colour, warmth, progress) {
    const isBusy = this.store.inUse(entry) > 0;
    context.globalAlpha = entry.fault || isBusy ? 1 : 0.42 + 0.5 * warmth;
    context.fillStyle = colour;
    context.fillRect(x, y, cell.width, cell.height);
    context.globalAlpha = 1;
    context.fillStyle = this.ink;
    if (progress) {
      const part = Math.max(1, Math.round(cell.height * (progress.share ?? 0.5)));
      context.fillRect(x, y + cell.height - part, cell.width, part);
    }
    if (isBusy && cell.width > 5) context.fillRect(x + cell.width / 2 - 2, y + cell.height / 2 - 2, 4, 4);
    if (entry.pinned && cell.width > 3) context.fillRect(x + cell.width - 2, y, 2, 2);
  }

  #chip(context, entry, x, y, cell, colour, warmth, progress) {
    const { width, height } = cell;
    context.fillStyle = this.chip;
    context.fillRect(x, y, width, height);
    context.globalAlpha = 0.16 + 0.5 * warmth;
    context.fillStyle = colour;
    context.fillRect(x, y, width, height);
    context.globalAlpha = 1;
    context.fillRect(x, y, 3, height);
    context.fillStyle = this.ink;
    let right = width - 6;
    if (this.store.inUse(entry) > 0) { right -= 8; context.fillRect(x + right + 2, y + height / 2 - 3, 6, 6); }
    if (entry.pinned) { right -= 8; context.fillRect(x + right + 2, y + 3, 4, 4); }
    context.save();
    context.beginPath();
    context.rect(x, y, right - 2, height);
    context.clip();
    context.fillText(entry.name, x + 10, y + height / 2 + 0.5);
    context.restore();
    if (progress) context.fillRect(x, y + height - 3, width * (progress.share ?? 0.5), 3);
  }
}
