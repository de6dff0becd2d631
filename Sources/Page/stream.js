// A stream of events that comes back when it breaks off.

import { send, serverEvents } from './api.js';

const firstPause = 500, longestPause = 15000;
/** The server writes more often than this; a longer silence is a dead connection. */
const longestSilence = 20000;

export class Follower {
  /**
   * - path: a function, asked at each attempt.
   * - opened, received(data), lost(error, pause): what happens; `lost` gets no pause when there is no use in
   *   trying again.
   * - beats: whether the stream is never silent for long.
   */
  constructor({ path, opened, received, lost, beats = false }) {
    Object.assign(this, { path, opened, received, lost, beats });
    this.controller = null;
    this.pause = firstPause;
  }

  get isRunning() { return this.controller !== null; }

  start() {
    if (this.controller) return;
    this.controller = new AbortController();
    this.pause = firstPause;
    this.follow(this.controller);
  }

  stop() {
    this.controller?.abort();
    this.controller = null;
  }

  async follow(controller) {
    const { signal } = controller;
    while (!signal.aborted) {
      let failure = null;
      const attempt = new AbortController();
      const end = () => attempt.abort();
      signal.addEventListener('abort', end);
      let watch = 0;
      const rearm = () => {
        if (!this.beats) return;
        clearTimeout(watch);
        watch = setTimeout(end, longestSilence);
      };
      try {
        rearm();
        const response = await send(this.path(), { signal: attempt.signal });
        this.opened?.();
        for await (const data of serverEvents(response)) {
          if (signal.aborted) break;
          rearm();
          this.pause = firstPause;
          this.received(data);
        }
      } catch (error) {
        failure = error;
      }
      clearTimeout(watch);
      signal.removeEventListener('abort', end);
      if (signal.aborted) return;
      if (failure?.status >= 400 && failure.status < 500 && failure.status !== 429) {
        this.controller = null;
        this.lost?.(failure, null);
        return;
      }
      const pause = this.pause * (0.75 + Math.random() / 2);
      this.pause = Math.min(longestPause, this.pause * 2);
      this.lost?.(failure, pause);
      await new Promise((done) => {
        const timer = setTimeout(done, pause);
        signal.addEventListener('abort', () => { clearTimeout(timer); done(); }, { once: true });
      });
    }
  }
}
