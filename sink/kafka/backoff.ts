/** Doubles from `initialMs` to `maxMs`, less up to a fifth by chance, so that many members do not knock at once. */
export const backoffMs = (failures: number, initialMs: number, maxMs: number): number =>
  Math.min(initialMs * 2 ** Math.min(failures, 20), maxMs) * (1 - Math.random() / 5);

/** Resolves after `ms`, or at once when `signal` is aborted; never rejects. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done, { once: true });
  });
}
