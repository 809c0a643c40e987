import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { homedir } from "node:os";
import { basename, dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { identify, isRunning, type ProcessIdentity } from "./process.ts";

/** Where downloads are kept, shared by all clones of one user. */
export function cacheFolder(): string {
  const base = process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache");
  return join(base, "audit-pipeline");
}

/** As `cacheFolder`, but for what another user must read: root's PostgreSQL runs as somebody else. */
export function publicCacheFolder(): string {
  const folder = cacheFolder();
  mkdirSync(folder, { recursive: true });
  return process.getuid?.() !== 0 || reachableByOthers(folder) ? folder : "/var/cache/audit-pipeline";
}

/** Whether a user without special rights can reach what is in `folder`. */
export function reachableByOthers(folder: string): boolean {
  const open = (statSync(folder).mode & 0o001) !== 0;
  const parent = dirname(folder);
  return open && (parent === folder || reachableByOthers(parent));
}

/**
 * Makes `folder` by `build` unless it is there. `build` fills a temporary folder that takes its name only when complete,
 * so an interrupted build leaves nothing that looks finished; a second process waits instead of downloading too.
 */
export async function installOnce(folder: string, build: (temporary: string) => Promise<void>): Promise<string> {
  if (existsSync(folder)) return folder;
  mkdirSync(dirname(folder), { recursive: true });
  await withLock(`${folder}.lock`, async () => {
    if (existsSync(folder)) return;
    removeInterrupted(folder);
    const temporary = `${folder}.partial-${process.pid}`;
    mkdirSync(temporary);
    chmodSync(temporary, 0o755);
    try {
      await build(temporary);
      renameSync(temporary, folder);
    } finally {
      rmSync(temporary, { recursive: true, force: true });
    }
  });
  return folder;
}

function removeInterrupted(folder: string): void {
  const prefix = `${basename(folder)}.partial-`;
  for (const name of readdirSync(dirname(folder))) {
    if (name.startsWith(prefix)) rmSync(join(dirname(folder), name), { recursive: true, force: true });
  }
}

/** Runs `work` while holding `file`; a lock whose holder is gone is taken over. */
export async function withLock<T>(file: string, work: () => Promise<T>): Promise<T> {
  mkdirSync(dirname(file), { recursive: true });
  for (let round = 0; !tryLock(file); round += 1) {
    if (isStale(file)) rmSync(file, { force: true });
    else await delay(200);
    if (round % 25 === 5) process.stderr.write(`Waiting for another process that does the same (${file}) ...\n`);
  }
  try {
    return await work();
  } finally {
    rmSync(file, { force: true });
  }
}

function tryLock(file: string): boolean {
  try {
    writeFileSync(file, JSON.stringify(identify(process.pid)), { flag: "wx" });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

/** A holder writes its identity a moment after creating the file, hence the grace for one that says nothing yet. */
function isStale(file: string): boolean {
  try {
    const holder = parseIdentity(readFileSync(file, "utf8"));
    return holder === undefined ? Date.now() - statSync(file).mtimeMs > 5_000 : !isRunning(holder);
  } catch {
    // Released meanwhile.
    return false;
  }
}

function parseIdentity(text: string): ProcessIdentity | undefined {
  try {
    return JSON.parse(text) as ProcessIdentity;
  } catch {
    return undefined;
  }
}
