/** One in so many refusals, of 30 s each: a password that is changed by hand again meanwhile is not lost for good. */
const EVERY = 20;

const refusals = new Map<string, number>();

/**
 * Whether a refused password may be set (again). `key` is the probe's, which moves with the passwords. A password that
 * the server goes on refusing is not what is wrong: setting it at every pass would only write.
 */
export function maySetPassword(key: string): boolean {
  const before = refusals.get(key) ?? 0;
  refusals.set(key, before + 1);
  return before % EVERY === 0;
}

/** The login works. */
export const forgetRefusals = (key: string) => void refusals.delete(key);
