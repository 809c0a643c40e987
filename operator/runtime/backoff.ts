/** Exponential: `baseMs` after the first failure, doubling, never above `maxMs`. */
export interface BackoffOptions {
  baseMs: number;
  maxMs: number;
  /** In [0, 1): so that what failed together does not come back together. */
  random?: () => number;
}

/** The wait after the n-th failure in a row (n from 1), in milliseconds, spread over its upper half. */
export function backoffMs(failures: number, { baseMs, maxMs, random = Math.random }: BackoffOptions): number {
  const full = Math.min(maxMs, baseMs * 2 ** Math.min(failures - 1, 52));
  return Math.round(full / 2 + (full / 2) * random());
}

/** A period spread by ±`share`, so that resources applied together are not looked at together for ever. */
export function jitterMs(periodMs: number, share = 0.1, random: () => number = Math.random): number {
  return Math.round(periodMs * (1 + share * (2 * random() - 1)));
}

/** Resolves after `ms`, or at once when the signal is or gets aborted. Never throws; keeps no process alive after that. */
export function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done, { once: true });
  });
}
