// The four tiers as lanes: a cell for each name, which moves when its adapter does.

import { element, fitCanvas, isCalm, setHidden, setShare, setText, withColours } from './dom.js';
import { Painter, geometry } from './cells.js';
import * as format from './format.js';

const flightTime = 450, mostFlights = 120;

/** Cells with room for some more. */
const fitting = (box, count) => geometry(box.width, box.height, Math.ceil(count * 1.15) + 1);

export class Lanes {
  /** `picked` is called with the entry whose cell was clicked. */
  constructor(container, store, picked) {
    this.container = container;
    this.store = store;
    this.painter = new Painter(store);
    this.places = new Map();
    this.flights = new Map();
    this.warm = new Set();
    this.isLaidOut = false;
    this.lanes = {};
    this.list = element('ul');
    for (const tier of [...format.tiers].reverse()) this.lanes[tier.id] = this.#lane(tier);
    this.still = element('canvas', { 'aria-hidden': 'true' });
    this.moving = element('canvas', { 'aria-hidden': 'true', class: 'moving' });
    this.tip = element('div', { class: 'tip', hidden: true, 'aria-hidden': 'true' });
    container.append(this.list, this.still, this.moving, this.tip);
    withColours((read) => { this.painter.setColours(read); if (this.isLaidOut) this.layOut(); });
    new ResizeObserver(() => this.layOut()).observe(container);
    container.addEventListener('pointermove', (event) => this.#point(event));
    container.addEventListener('pointerleave', () => setHidden(this.tip, true));
    container.addEventListener('click', (event) => {
      const entry = this.#at(event);
      if (entry) picked(entry);
    });
  }

  #lane(tier) {
    const lane = { id: tier.id, slots: [], free: [], count: 0, bytes: 0 };
    lane.number = element('b', { text: '0' });
    lane.size = element('span', { class: 'dim' });
    lane.bar = element('i');
    lane.meter = element('div', { class: 'bar', hidden: true }, lane.bar);
    lane.track = element('div', { class: 'track' });
    lane.row = element('li', { class: `lane ${tier.id}` },
      element('div', { class: 'lane-head' },
        element('span', { class: `tier ${tier.id}`, text: tier.name }), lane.number, lane.size, lane.meter),
      lane.track);
    this.list.append(lane.row);
    return lane;
  }

  // Change

  update(changed, isListChanged) {
    if (!this.isLaidOut) { this.layOut(); return; }
    let isFull = false;
    for (const entry of changed) {
      if (this.store.heat(entry) > 0) this.warm.add(entry);
      if (!this.#settle(entry)) isFull = true;
    }
    if (isFull || (isListChanged && changed.size > 100)) this.#layOutSoon();
    this.#writeHeads();
  }

  /** Brings a cell to where it belongs. Returns false when its lane is full. */
  #settle(entry) {
    const place = this.places.get(entry);
    const lane = entry.isGone ? null : this.lanes[entry.tier];
    if (place?.lane === lane && place) { this.#paint(entry, place); return true; }
    let from = null;
    if (place) {
      from = this.flights.get(entry) ? this.#flown(entry, performance.now()) : this.#spot(place);
      this.flights.delete(entry);
      this.#erase(place);
      place.lane.slots[place.index] = null;
      place.lane.free.push(place.index);
      place.lane.count -= 1;
      this.places.delete(entry);
    }
    if (!lane) { this.warm.delete(entry); return true; }
    lane.count += 1;
    const index = lane.free.pop() ?? lane.slots.length;
    if (index >= lane.cell.columns * lane.cell.rows) { lane.free.push(index); lane.count -= 1; return false; }
    const now = { lane, index };
    lane.slots[index] = entry;
    this.places.set(entry, now);
    if (from && !isCalm() && this.flights.size < mostFlights) {
      this.flights.set(entry, { from, start: performance.now() });
      this.#fly();
    } else this.#paint(entry, now);
    return true;
  }

  #layOutSoon() {
    if (this.timer) return;
    this.timer = setTimeout(() => { this.timer = 0; this.layOut(); }, 300);
  }

  /** Gives every cell its place again, without holes. */
  layOut() {
    const box = this.container.getBoundingClientRect();
    if (box.width === 0) return;
    const hasDevice = this.store.hasDevice;
    this.lanes.device.row.classList.toggle('slim', !hasDevice);
    setText(this.lanes.device.track, hasDevice ? '' : 'No tier of its own here: a step reads adapters in RAM.');
    this.container.classList.toggle('few', this.store.entries.size <= 12);
    const members = { source: [], disk: [], host: [], device: [] };
    for (const entry of this.store.entries.values()) members[entry.tier].push(entry);
    this.isLaidOut = true;
    this.context = this.#canvas(this.still, box);
    this.sky = this.#canvas(this.moving, box);
    this.places.clear();
    this.flights.clear();
    this.warm.clear();
    for (const lane of Object.values(this.lanes)) {
      const track = lane.track.getBoundingClientRect();
      lane.box = track;
      lane.cell = fitting(track, members[lane.id].length);
      lane.left = track.left - box.left;
      lane.top = track.top - box.top;
      lane.slots = members[lane.id].slice(0, lane.cell.columns * lane.cell.rows);
      lane.free = [];
      lane.count = members[lane.id].length;
      lane.slots.forEach((entry, index) => {
        const place = { lane, index };
        this.places.set(entry, place);
        this.#paint(entry, place);
        if (entry.warmth) this.warm.add(entry);
      });
    }
    this.#writeHeads();
  }

  #canvas(canvas, box) {
    const context = fitCanvas(canvas, box.width, box.height);
    context.font = `12px ${getComputedStyle(this.container).fontFamily}`;
    context.textBaseline = 'middle';
    return context;
  }

  // Drawing

  #spot({ lane, index }) {
    const { columns, pitchX, pitchY } = lane.cell;
    return { x: lane.left + (index % columns) * pitchX, y: lane.top + Math.floor(index / columns) * pitchY };
  }

  #erase(place) {
    const { x, y } = this.#spot(place);
    this.context.clearRect(x - 0.5, y - 0.5, place.lane.cell.width + 1, place.lane.cell.height + 1);
  }

  #paint(entry, place) {
    if (this.flights.has(entry)) return;
    const { x, y } = this.#spot(place);
    this.#erase(place);
    this.painter.draw(this.context, entry, x, y, place.lane.cell);
  }

  #flown(entry, now) {
    const { from, start } = this.flights.get(entry);
    const to = this.#spot(this.places.get(entry));
    const part = Math.min(1, (now - start) / flightTime), ease = 1 - (1 - part) ** 3;
    return { x: from.x + (to.x - from.x) * ease, y: from.y + (to.y - from.y) * ease, isOver: part === 1 };
  }

  #fly() {
    if (this.frame) return;
    const step = (now) => {
      this.frame = 0;
      this.sky.clearRect(0, 0, this.moving.width, this.moving.height);
      for (const entry of [...this.flights.keys()]) {
        const place = this.places.get(entry);
        if (!place) { this.flights.delete(entry); continue; }
        const { x, y, isOver } = this.#flown(entry, now);
        if (isOver) { this.flights.delete(entry); this.#paint(entry, place); continue; }
        this.painter.draw(this.sky, entry, x, y, place.lane.cell);
      }
      if (this.flights.size) this.frame = requestAnimationFrame(step);
    };
    this.frame = requestAnimationFrame(step);
  }

  /** What cools down, and the numbers; once a second. */
  tick() {
    if (!this.isLaidOut) return;
    const isRoomier = Object.values(this.lanes).some((lane) => fitting(lane.box, lane.count).width > lane.cell.width + 1);
    if (isRoomier || this.store.hasDevice === this.lanes.device.row.classList.contains('slim')) this.layOut();
    for (const entry of this.warm) {
      const place = this.places.get(entry);
      if (place) this.#paint(entry, place);
      if (!place || this.store.heat(entry) === 0) this.warm.delete(entry);
    }
    this.#writeHeads();
  }

  #writeHeads() {
    const { state, tiers } = this.store;
    const budgets = { host: state?.host ?? tiers?.host, disk: tiers?.disk };
    for (const lane of Object.values(this.lanes)) {
      setText(lane.number, lane.count.toLocaleString('en'));
      const budget = budgets[lane.id];
      setHidden(lane.meter, !budget?.budget);
      if (!budget) { setText(lane.size, format.tiers[format.tierRank[lane.id]].says); continue; }
      setShare(lane.bar, budget.bytes / budget.budget);
      const share = budget.bytes / budget.budget;
      setText(lane.size, `${format.bytes(budget.bytes)} of ${format.bytes(budget.budget)}, ${format.percent(share)}`);
    }
  }

  // The pointer

  #at(event) {
    if (!this.isLaidOut) return null;
    const box = this.container.getBoundingClientRect();
    const x = event.clientX - box.left, y = event.clientY - box.top;
    for (const lane of Object.values(this.lanes)) {
      const { columns, rows, pitchX, pitchY } = lane.cell;
      const column = Math.floor((x - lane.left) / pitchX), row = Math.floor((y - lane.top) / pitchY);
      if (column < 0 || row < 0 || column >= columns || row >= rows) continue;
      return lane.slots[row * columns + column] ?? null;
    }
    return null;
  }

  #point(event) {
    const entry = this.#at(event);
    setHidden(this.tip, !entry);
    this.container.classList.toggle('points', entry !== null);
    if (!entry) return;
    setText(this.tip, `${entry.name}, ${format.tierName(entry.tier)}, ${format.bytes(entry.bytes)}`);
    const box = this.container.getBoundingClientRect();
    this.tip.style.left = `${Math.min(event.clientX - box.left + 12, box.width - this.tip.offsetWidth - 4)}px`;
    this.tip.style.top = `${event.clientY - box.top + 16}px`;
  }
}
