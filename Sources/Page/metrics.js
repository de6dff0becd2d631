// Prometheus' text: sums over labels, and quantiles of what histograms gained.

import { send } from './api.js';

const counters = new Set(['martlet_completion_tokens_total', 'martlet_prompt_tokens_total',
  'martlet_draft_tokens_total', 'martlet_draft_tokens_accepted_total', 'martlet_preemptions_total',
  'martlet_step_tokens_sum', 'martlet_time_to_first_token_seconds_count', 'martlet_inter_token_seconds_count',
  'martlet_adapter_thrashing', 'martlet_adapter_bytes_disk', 'martlet_kv_blocks', 'martlet_kv_blocks_free',
  'martlet_kv_bytes_resident', 'martlet_adapter_requests_waiting']);
const histograms = {
  martlet_time_to_first_token_seconds_bucket: 'first',
  martlet_inter_token_seconds_bucket: 'between',
};

/** Reads `/metrics` line by line as it comes: with many models it is long. */
export async function readMetrics(signal) {
  const response = await send('metrics', { signal });
  const sample = { time: performance.now() / 1000, values: {}, first: new Map(), between: new Map(), length: 0 };
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    sample.length += value.length;
    const lines = (rest + value).split('\n');
    rest = lines.pop();
    for (const line of lines) readLine(line, sample);
  }
  return sample;
}

function readLine(line, sample) {
  if (line.charCodeAt(0) !== 109) return; // All begin with "martlet".
  const brace = line.indexOf('{');
  const name = line.slice(0, brace < 0 ? line.indexOf(' ') : brace);
  if (counters.has(name)) {
    const value = Number(line.slice(line.lastIndexOf(' ') + 1));
    sample.values[name] = (sample.values[name] ?? 0) + value;
    return;
  }
  const histogram = histograms[name];
  if (!histogram) return;
  const start = line.lastIndexOf('le="') + 4;
  const bound = line.slice(start, line.indexOf('"', start));
  const edge = bound === '+Inf' ? Infinity : Number(bound);
  const value = Number(line.slice(line.lastIndexOf(' ') + 1));
  sample[histogram].set(edge, (sample[histogram].get(edge) ?? 0) + value);
}

/** How much a counter grew; a server that was started anew began at 0. */
export function gain(before, after, name) {
  const grown = (after.values[name] ?? 0) - (before.values[name] ?? 0);
  return grown < 0 ? after.values[name] : grown;
}

/** A quantile of what a histogram gained between two samples, and how many there were. */
export function quantile(before, after, histogram, share) {
  const edges = [...after[histogram].keys()].sort((a, b) => a - b);
  const gained = edges.map((edge) => after[histogram].get(edge) - (before[histogram].get(edge) ?? 0));
  const count = gained.at(-1) ?? 0;
  if (count <= 0 || gained.some((value) => value < 0)) return { value: null, count: 0 };
  const wanted = share * count;
  const place = gained.findIndex((value) => value >= wanted);
  if (edges[place] === Infinity) return { value: edges[place - 1] ?? null, count, isAbove: true };
  const low = place ? edges[place - 1] : 0, below = place ? gained[place - 1] : 0;
  const part = gained[place] === below ? 1 : (wanted - below) / (gained[place] - below);
  return { value: low + (edges[place] - low) * part, count };
}

/** Samples of the last minute. */
export class Minute {
  samples = [];

  add(sample) {
    const { last } = this, count = 'martlet_step_tokens_sum';
    const isOther = last && (sample.time - last.time > 40 || (sample.values[count] ?? 0) < (last.values[count] ?? 0));
    if (isOther) this.samples = [];
    this.samples.push(sample);
    while (this.samples.length > 2 && sample.time - this.samples[1].time >= 60) this.samples.shift();
  }

  get first() { return this.samples[0]; }
  get last() { return this.samples.at(-1); }
  /** The sample before the last. */
  get previous() { return this.samples.at(-2); }
}
