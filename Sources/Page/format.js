// Numbers, sizes and times as people read them.

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

export function bytes(count) {
  if (count === null || count === undefined) return '–';
  let value = count, unit = 0;
  while (value >= 1023.5 && unit < units.length - 1) { value /= 1024; unit += 1; }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** At most three figures or so: 0.42, 4.2, 42, 4,200. */
export function number(value) {
  if (!Number.isFinite(value)) return '–';
  if (value >= 100 || value === 0 || Number.isInteger(value)) return Math.round(value).toLocaleString('en');
  return value >= 10 ? value.toFixed(0) : value >= 1 ? value.toFixed(1) : value.toFixed(2);
}

export function seconds(value) {
  if (value === null || !Number.isFinite(value)) return '–';
  if (value < 0.001) return '< 1 ms';
  if (value < 1) return `${value < 0.01 ? (value * 1000).toFixed(1) : Math.round(value * 1000)} ms`;
  return value < 100 ? `${value.toFixed(value < 10 ? 2 : 1)} s` : `${Math.round(value)} s`;
}

export function ago(time) {
  if (!time) return 'never';
  const past = Math.max(0, Date.now() / 1000 - time);
  if (past < 60) return `${Math.round(past)} s ago`;
  if (past < 3600) return `${Math.round(past / 60)} min ago`;
  return past < 172800 ? `${Math.round(past / 3600)} h ago` : `${Math.round(past / 86400)} days ago`;
}

export const clock = (time) => new Date(time * 1000).toLocaleTimeString('en-GB');

export const percent = (share) => (share > 0 && share < 0.01 ? '< 1 %' : `${Math.round(share * 100)} %`);

export const shortDigest = (digest) => (digest ? digest.slice(0, 12) : '–');

export const count = (value, one, many = `${one}s`) => `${value.toLocaleString('en')} ${value === 1 ? one : many}`;

/** Tiers from far to near, as the server and as people call them. */
export const tiers = [
  { id: 'source', name: 'Source', says: 'named, not here yet' },
  { id: 'disk', name: 'Disk', says: 'kept as a pack' },
  { id: 'host', name: 'RAM', says: 'ready for the next step' },
  { id: 'device', name: 'Device', says: 'beside the key/value cache' },
];
export const tierRank = { source: 0, disk: 1, host: 2, device: 3 };
export const tierName = (id) => tiers[tierRank[id] ?? 0].name;
