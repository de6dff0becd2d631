// What the page knows of the server's adapters, from the list, the events and the state.

import { tierRank } from './format.js';

const halfLife = 30;
const seconds = () => performance.now() / 1000;

/** Names and what they stand for; tells listeners once a frame what has changed. */
export class Store {
  entries = new Map();
  /** Digest to names. */
  names = new Map();
  /** Digest to the state's counters. */
  counters = new Map();
  /** Digest to requests at once, by the last state. */
  active = new Map();
  /** Name to the digests that it was seen to stand for, newest last. */
  history = new Map();
  tiers = null;
  state = null;
  base = [];
  hasDevice = false;

  #listeners = new Set();
  #changed = new Set();
  #isListChanged = false;
  #frame = 0;
  #stateTime = 0;

  /** Calls back before a frame with the entries that changed, and whether names came or went. */
  listen(callback) { this.#listeners.add(callback); }

  touch(entry) {
    this.#changed.add(entry);
    this.#schedule();
  }

  #schedule() {
    if (this.#frame) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      const changed = this.#changed, isListChanged = this.#isListChanged;
      this.#changed = new Set();
      this.#isListChanged = false;
      for (const listener of this.#listeners) listener(changed, isListChanged);
    });
  }

  // What the server tells

  /** Takes in `GET /admin/adapters`, in slices, so that no frame is late. */
  async applyList(list) {
    const known = new Set();
    if (list.tiers) this.tiers = list.tiers;
    for (let start = 0; start < list.adapters.length; start += 500) {
      for (const item of list.adapters.slice(start, start + 500)) {
        known.add(item.name);
        this.applyEntry(item);
      }
      if (start + 500 < list.adapters.length) await new Promise((done) => setTimeout(done));
    }
    for (const name of [...this.entries.keys()]) if (!known.has(name)) this.#remove(name);
    this.#schedule();
  }

  applyEntry(item) {
    const entry = this.#ensure(item.name);
    const { tier, digest, ...rest } = item;
    Object.assign(entry, rest);
    this.#point(entry, digest);
    this.#setTier(entry, tier === 'host' && this.counters.get(digest)?.tier === 'device' ? 'device' : tier);
    entry.isWhole = true;
    this.touch(entry);
    return entry;
  }

  applyEvent(event) {
    const named = event.name ? [event.name] : event.names ?? [];
    if (event.event === 'removed') { this.#remove(event.name); return; }
    const makes = ['registered', 'added', 'replaced', 'fetching', 'refused'].includes(event.event);
    for (const name of named) {
      const entry = makes ? this.#ensure(name) : this.entries.get(name);
      if (!entry) continue;
      this.#applyEvent(event, entry);
      entry.last = event;
      this.touch(entry);
    }
  }

  #applyEvent(event, entry) {
    switch (event.event) {
      case 'added': case 'replaced':
        this.#point(entry, event.digest);
        Object.assign(entry, { fault: null, progress: null, isWhole: false });
        this.#setTier(entry, this.counters.get(event.digest)?.tier ?? 'disk');
        break;
      case 'fetching':
        entry.progress = { done: event.bytes, total: event.total, time: seconds() };
        break;
      case 'loaded':
        entry.progress = null;
        if (entry.tier !== 'device') this.#setTier(entry, 'host');
        break;
      case 'evicted':
        if (event.tier === 'host') this.#setTier(entry, 'disk');
        else if (event.tier === 'disk' && entry.tier === 'disk') this.#setTier(entry, 'source');
        break;
      case 'pinned': entry.pinned = true; break;
      case 'unpinned': entry.pinned = false; break;
      case 'refused': Object.assign(entry, { fault: event.reason, progress: null }); break;
      case 'quarantined': case 'not_stored': entry.note = event.reason; break;
    }
  }

  /** Takes in a message of the state's stream. Returns the seconds that its counters are about. */
  applyState(report) {
    const now = seconds();
    const isNew = report.boot !== this.state?.boot;
    if (isNew) { this.counters.clear(); this.#stateTime = 0; }
    const passed = this.#stateTime ? now - this.#stateTime : 0;
    this.#stateTime = now;
    const active = new Map();
    const listed = report.whole ? new Set() : null;
    for (const adapter of report.adapters) {
      listed?.add(adapter.digest);
      const before = this.counters.get(adapter.digest);
      this.counters.set(adapter.digest, adapter);
      if (adapter.tier === 'device') this.hasDevice = true;
      const made = before ? Math.max(0, adapter.tokens - before.tokens) : 0;
      const busy = before ? Math.max(0, adapter.busy_seconds - before.busy_seconds) : 0;
      if (busy > 0) active.set(adapter.digest, { busy, rate: passed > 0.02 ? busy / passed : 0 });
      for (const name of adapter.names) this.#applyStanding(name, adapter, made, now);
    }
    const gone = listed ? [...this.names.keys()].filter((digest) => !listed.has(digest)) : report.removed;
    for (const digest of gone) {
      this.counters.delete(digest);
      this.#each(digest, (entry) => this.#setTier(entry, 'source'));
    }
    for (const digest of this.active.keys()) if (!active.has(digest)) this.#each(digest, (entry) => this.touch(entry));
    this.active = active;
    this.state = { ...report, adapters: null };
    this.base = report.base;
    this.#schedule();
    return passed;
  }

  #applyStanding(name, adapter, made, now) {
    const entry = this.#ensure(name);
    if (!entry.digest) this.#point(entry, adapter.digest);
    if (entry.digest !== adapter.digest) return;
    entry.bytes = adapter.bytes;
    entry.rank = adapter.rank;
    if (made > 0) { entry.warmth = this.heat(entry, now) + made; entry.warmthTime = now; }
    this.#setTier(entry, adapter.tier);
    this.touch(entry);
  }

  // What can be asked

  /** Tokens of finished requests, of which half count after each half minute. */
  heat(entry, now = seconds()) {
    if (!entry.warmth) return 0;
    const left = entry.warmth * 2 ** ((entry.warmthTime - now) / halfLife);
    return left < 0.5 ? 0 : left;
  }

  /** Requests that use it now. */
  inUse(entry) {
    const live = this.active.get(entry.digest);
    return live ? Math.max(1, Math.round(live.rate)) : this.state ? 0 : entry.leases ?? 0;
  }

  /** How far a fetch is, 0 to 1, or null; a fetch that says nothing for long has been given up. */
  progress(entry) {
    if (!entry.progress || seconds() - entry.progress.time > 30) return null;
    const { done, total } = entry.progress;
    return { done, total, share: total ? Math.min(1, done / total) : null };
  }

  digestName(digest) {
    const first = this.names.get(digest)?.values().next().value;
    return first ?? this.counters.get(digest)?.names[0] ?? digest.slice(0, 12);
  }

  // Keeping it

  #ensure(name) {
    let entry = this.entries.get(name);
    if (!entry) {
      entry = { name, key: name.toLowerCase(), tier: 'source', digest: null, pinned: false, fault: null,
        bytes: null, rank: null, leases: 0, hits: 0, loads: 0, last_use: 0, warmth: 0, warmthTime: 0,
        progress: null, isWhole: false };
      this.entries.set(name, entry);
      this.#isListChanged = true;
    }
    return entry;
  }

  #remove(name) {
    const entry = this.entries.get(name);
    if (!entry) return;
    this.#unpoint(entry);
    this.entries.delete(name);
    entry.isGone = true;
    this.#isListChanged = true;
    this.touch(entry);
  }

  #point(entry, digest) {
    if (entry.digest === digest) return;
    this.#unpoint(entry);
    entry.digest = digest;
    if (!digest) return;
    if (!this.names.has(digest)) this.names.set(digest, new Set());
    this.names.get(digest).add(entry.name);
    const seen = this.history.get(entry.name) ?? [];
    this.history.set(entry.name, [...seen.filter((other) => other !== digest), digest].slice(-20));
  }

  #unpoint(entry) {
    const names = this.names.get(entry.digest);
    names?.delete(entry.name);
    if (names?.size === 0) this.names.delete(entry.digest);
  }

  #each(digest, use) {
    for (const name of this.names.get(digest) ?? []) {
      const entry = this.entries.get(name);
      if (entry) use(entry);
    }
  }

  #setTier(entry, tier) {
    if (!(tier in tierRank)) tier = 'source';
    if (entry.tier === tier) return;
    if (tierRank[tier] > 0) entry.progress = null;
    entry.tier = tier;
    this.touch(entry);
  }
}

export const store = new Store();
