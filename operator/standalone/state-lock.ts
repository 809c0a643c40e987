import { randomUUID } from "node:crypto";
import { link, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { processStart } from "./processes.ts";

interface Holder {
  pid: number;
  /** Clock ticks since boot, so that a reused pid is not taken for the holder. */
  start: string;
  boot: string;
}

/** Another process holds the state folder. */
export class LockedError extends Error {
  override readonly name = "LockedError";
}

/** Takes the folder for this process; a lock whose process is gone is taken over. The function gives it back. */
export async function lockState(dir: string): Promise<() => Promise<void>> {
  const claim: Claim = { dir, mine: JSON.stringify({ ...(await thisProcess()), nonce: randomUUID() }) };
  return take(join(dir, "lock"), claim);
}

interface Claim {
  dir: string;
  /** What our lock says; the nonce tells apart two claims of one process. */
  mine: string;
}

async function take(path: string, claim: Claim): Promise<() => Promise<void>> {
  for (let attempt = 0; attempt < 20; attempt += 1) {
    // link, unlike rename, fails when the name is taken.
    if (await withDraft(claim, (draft) => link(draft, path).then(() => true, isTaken))) {
      return () => release(path, claim.mine);
    }
    if (await takeOver(path, claim)) return () => release(path, claim.mine);
  }
  throw new LockedError(`Could not lock ${claim.dir}: its lock keeps changing hands`);
}

/**
 * Replaces the lock of a dead process. Of several that find it dead only one may, and none after a living one has
 * replaced it: so this needs a lock of its own, which its taker's death leaves to be taken over in the same way.
 */
async function takeOver(path: string, claim: Claim): Promise<boolean> {
  const found = await readFile(path, "utf8").catch(() => undefined);
  if (found === undefined) return false;
  await refuseIfAlive(found, claim.dir);
  const giveBack = await take(`${path}.takeover`, claim);
  try {
    if ((await readFile(path, "utf8").catch(() => undefined)) !== found) return false;
    await withDraft(claim, (draft) => rename(draft, path));
    return true;
  } finally {
    await giveBack();
  }
}

/** A complete lock under a name nobody else uses. */
async function withDraft<T>({ dir, mine }: Claim, use: (draft: string) => Promise<T>): Promise<T> {
  const draft = join(dir, `.lock.${randomUUID()}`);
  await writeFile(draft, mine, { mode: 0o600 });
  try {
    return await use(draft);
  } finally {
    await rm(draft, { force: true });
  }
}

async function refuseIfAlive(found: string, dir: string): Promise<void> {
  const holder = parse(found);
  if (holder === undefined || !(await isAlive(holder))) return;
  throw new LockedError(
    `The state folder ${dir} is in use by process ${holder.pid}: stop that one, or give another --state`,
  );
}

/** The pid of the living process that holds the folder. */
export async function lockHolder(dir: string): Promise<number | undefined> {
  const text = await readFile(join(dir, "lock"), "utf8").catch(() => undefined);
  const holder = text === undefined ? undefined : parse(text);
  return holder !== undefined && (await isAlive(holder)) ? holder.pid : undefined;
}

async function release(path: string, mine: string): Promise<void> {
  if ((await readFile(path, "utf8").catch(() => undefined)) === mine) await rm(path, { force: true });
}

async function thisProcess(): Promise<Holder> {
  return { pid: process.pid, start: (await processStart(process.pid)) ?? "", boot: await bootId() };
}

async function isAlive({ pid, start, boot }: Holder): Promise<boolean> {
  return boot === (await bootId()) && start === (await processStart(pid));
}

const bootId = async () => (await readFile("/proc/sys/kernel/random/boot_id", "utf8").catch(() => "")).trim();

/** A half-written lock cannot be: it is linked when complete. Anything unreadable is treated as stale. */
function parse(text: string): Holder | undefined {
  try {
    const { pid, start, boot } = JSON.parse(text) as Partial<Holder>;
    return typeof pid === "number" && typeof start === "string" && typeof boot === "string"
      ? { pid, start, boot }
      : undefined;
  } catch {
    return undefined;
  }
}

function isTaken(error: NodeJS.ErrnoException): false {
  if (error.code === "EEXIST") return false;
  throw error;
}
