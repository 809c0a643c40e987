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
  const path = join(dir, "lock");
  const mine = JSON.stringify(await thisProcess());
  const draft = join(dir, `.lock.${process.pid}`);
  await writeFile(draft, mine, { mode: 0o600 });
  try {
    for (let attempt = 0; attempt < 5; attempt += 1) {
      // link, unlike rename, fails when the name is taken.
      if (await link(draft, path).then(() => true, isTaken)) return () => release(path, mine);
      await removeStale(dir, path);
    }
    throw new LockedError(`Could not lock ${dir}: its lock keeps changing hands`);
  } finally {
    await rm(draft, { force: true });
  }
}

/** The pid of the living process that holds the folder. */
export async function lockHolder(dir: string): Promise<number | undefined> {
  const text = await readFile(join(dir, "lock"), "utf8").catch(() => undefined);
  const holder = text === undefined ? undefined : parse(text);
  return holder !== undefined && (await isAlive(holder)) ? holder.pid : undefined;
}

async function removeStale(dir: string, path: string): Promise<void> {
  const found = await readFile(path, "utf8").catch(() => undefined);
  if (found === undefined) return;
  const holder = parse(found);
  if (holder !== undefined && (await isAlive(holder))) {
    throw new LockedError(
      `The state folder ${dir} is in use by process ${holder.pid}: stop that one, or give another --state`,
    );
  }
  const aside = join(dir, `.lock.stale.${process.pid}`);
  await rename(path, aside).catch(() => undefined);
  const moved = await readFile(aside, "utf8").catch(() => undefined);
  // Somebody else took over between our look and our rename: put theirs back.
  if (moved !== undefined && moved !== found) await link(aside, path).catch(() => undefined);
  await rm(aside, { force: true });
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
