/** Counts who works with something, and calls `end` once nobody has for `idleMs`. */
export function whenUnused(idleMs: number, end: () => void): <T>(work: () => Promise<T>) => Promise<T> {
  let users = 0;
  let timer: NodeJS.Timeout | undefined;
  return async (work) => {
    users += 1;
    clearTimeout(timer);
    try {
      return await work();
    } finally {
      users -= 1;
      if (users === 0) timer = setTimeout(end, idleMs).unref();
    }
  };
}
