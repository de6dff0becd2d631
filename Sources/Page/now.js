// The section Now: what the server does this minute.

import { byId, setHidden, setNotice, setShare, setText } from './dom.js';
import { ServerError } from './api.js';
import { Minute, gain, quantile, readMetrics } from './metrics.js';
import { Strip } from './strip.js';
import { store } from './store.js';
import * as format from './format.js';

const pace = 2000;
/** A longer text costs the server more to write, so it is asked for less often. */
const cheapLength = 200_000, longestPace = 30_000;

export function makeNow() {
  const strip = new Strip(byId('strip'), byId('strip-legend'));
  const minute = new Minute();
  let isShown = false, timer = 0, controller = null;

  /** Takes in a state; called for each message, whether this section is shown or not. */
  function follow(report, passed) {
    strip.add(passed, report.running + report.waiting, store.active);
    if (isShown) writeState(report);
  }

  function writeState(state) {
    setText('running', format.number(state.running));
    setText('running-of', `of at most ${format.number(state.slots)}`);
    setShare('running-bar', state.running / state.slots);
    setText('waiting', format.number(state.waiting));
    setText('waiting-of', `${format.count(state.waiting_tokens, 'prompt token')} to compute`);
    setText('kv', format.percent(state.kv_use));
    setShare('kv-bar', state.kv_use);
    setText('ram', format.bytes(state.host.bytes));
    setText('ram-of', `of ${format.bytes(state.host.budget)}`);
    setShare('ram-bar', state.host.bytes / state.host.budget);
    strip.writeLegend((digest) => store.digestName(digest));
    const loads = state.loads;
    setText('finished', `${format.count(state.finished, 'request')} finished since the start, `
      + `${format.count(loads.disk.count, 'load')} from disk, ${loads.source.count.toLocaleString('en')} from sources.`);
    setHidden('draining', !state.draining);
  }

  async function poll() {
    controller = new AbortController();
    let next = pace;
    try {
      const sample = await readMetrics(controller.signal);
      minute.add(sample);
      writeMetrics();
      next = Math.min(longestPace, Math.max(pace, pace * sample.length / cheapLength));
      setNotice('now-error', '');
    } catch (error) {
      if (error.name === 'AbortError') return;
      setNotice('now-error', error instanceof ServerError ? error.message : 'The metrics cannot be read.');
      if (error.status >= 400 && error.status < 500) next = longestPace;
    }
    if (isShown && controller && !controller.signal.aborted) timer = setTimeout(poll, next);
  }

  function writeMetrics() {
    const { first, previous, last } = minute;
    const value = (name) => last.values[name] ?? 0;
    if (previous) writeRates(previous, last);
    for (const [id, histogram] of [['first', 'first'], ['between', 'between']]) {
      for (const [name, share] of [['p50', 0.5], ['p95', 0.95]]) {
        const found = previous ? quantile(first, last, histogram, share) : { value: null };
        setText(`${id}-${name}`, `${found.isAbove ? '> ' : ''}${format.seconds(found.value)}`);
        if (name === 'p50') setText(`${id}-count`, found.count ? found.count.toLocaleString('en') : '0');
      }
    }
    const disk = store.tiers?.disk;
    setText('disk', format.bytes(value('martlet_adapter_bytes_disk')));
    setText('disk-of', disk ? `of ${format.bytes(disk.budget)}` : '');
    setShare('disk-bar', disk ? value('martlet_adapter_bytes_disk') / disk.budget : 0);
    setText('kv-of', `${format.bytes(value('martlet_kv_bytes_resident'))} resident`);
    writeThrashing(value('martlet_adapter_thrashing'));
  }

  function writeRates(before, after) {
    const passed = after.time - before.time;
    const answers = gain(before, after, 'martlet_inter_token_seconds_count')
      + gain(before, after, 'martlet_time_to_first_token_seconds_count');
    const rejected = gain(before, after, 'martlet_draft_tokens_total') - gain(before, after, 'martlet_draft_tokens_accepted_total');
    const rows = gain(before, after, 'martlet_step_tokens_sum');
    setText('answers', format.number(Math.round(answers / passed)));
    setText('prompts', format.number(Math.round(Math.max(0, rows - rejected - answers) / passed)));
    setText('preemptions', format.number(gain(minute.first, after, 'martlet_preemptions_total')));
  }

  function writeThrashing(share) {
    setText('thrashing', share.toFixed(2));
    setText('thrashing-of', share > 0.5 ? 'adapters push each other out: give more --host-memory'
      : share > 0.1 ? 'some loads bring back what had just gone' : 'RAM holds what is asked for');
    byId('thrashing').classList.toggle('fault', share > 0.5);
  }

  function pause() {
    clearTimeout(timer);
    controller?.abort();
    controller = null;
  }

  return {
    follow,
    show() {
      isShown = true;
      pause();
      strip.draw();
      if (store.state) writeState(store.state);
      poll();
    },
    hide() { isShown = false; pause(); },
  };
}
