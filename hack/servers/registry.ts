import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { identify, isRunning, killTree, type ProcessIdentity, signal, waitForEnd } from "./process.ts";

/** Everything this clone runs or leaves on disk; not tracked by git. */
export const cloneState = resolve(import.meta.dirname, "../../.servers");
/** The same, but in a cluster's namespaces a place of their own: the process ids in its records are others there. */
export const stateFolder = process.env["SERVERS_STATE"] || cloneState;
const recordFolder = join(stateFolder, "run");

/** Whether a server ends with the process that started it, or stays until `make servers-down`. */
export type Lifetime = "parent" | "detached";

interface Leavings {
  owner: ProcessIdentity;
  /** It has processes of its own to end, and is given time for that whatever happens to us. */
  endsOthers?: boolean;
  /** Folders of ours that nobody needs once the process and its owner are gone. */
  disposable: string[];
}

export interface ProcessRecord extends Leavings {
  kind: string;
  process: ProcessIdentity;
  lifetime: Lifetime;
  /** Ends the process in an orderly way. */
  stopSignal: NodeJS.Signals;
}

/** Remembers a process, so that it can be found and stopped whatever becomes of us. */
export function register(record: Omit<ProcessRecord, "owner">): void {
  write(fileOf(record.process), { ...record, owner: ourselves() } satisfies ProcessRecord);
  if (record.lifetime === "parent") tellWatchdog(`${record.endsOthers ? "!" : "+"} ${record.process.pid}\n`);
}

export function unregister(target: ProcessIdentity): void {
  rmSync(fileOf(target), { force: true });
  if (watchdog !== undefined) tellWatchdog(`- ${target.pid}\n`);
}

export const records = () => readAll<ProcessRecord>(".json");

/** Has folders removed once this process is gone, however it goes, unless the returned function was called before. */
export function removeLater(folders: string[]): () => void {
  const file = join(recordFolder, `${randomUUID()}.leavings`);
  write(file, { owner: ourselves(), disposable: folders } satisfies Leavings);
  return () => rmSync(file, { force: true });
}

function ourselves(): ProcessIdentity {
  const identity = identify(process.pid);
  if (identity === undefined) throw new Error("Cannot read this process's own start time");
  return identity;
}

/** By way of another name, so that a crash never leaves half a record. */
function write(file: string, content: unknown): void {
  mkdirSync(recordFolder, { recursive: true });
  writeFileSync(`${file}.partial`, JSON.stringify(content));
  renameSync(`${file}.partial`, file);
}

function readAll<T>(ending: string): (T & { file: string })[] {
  const names = tolerateMissing(() => readdirSync(recordFolder)) ?? [];
  const files = names.filter((name) => name.endsWith(ending)).map((name) => join(recordFolder, name));
  return files.flatMap((file) => {
    const text = tolerateMissing(() => readFileSync(file, "utf8"));
    return text === undefined ? [] : [{ ...(JSON.parse(text) as T), file }];
  });
}

/** Removes what a crashed run left: its processes, where they outlived it, and their data. */
export function sweep(): void {
  for (const record of records()) {
    if (record.lifetime === "parent" && !isRunning(record.owner)) discard(record);
  }
  for (const { owner, disposable, file } of readAll<Leavings>(".leavings")) {
    if (isRunning(owner)) continue;
    removeFolders(disposable);
    rmSync(file, { force: true });
  }
}

/** Stops what this clone left running, on purpose or not, servers last; `all` includes what a process still at work uses. */
export async function stopRecorded({ all }: { all: boolean }): Promise<string[]> {
  const chosen = records().filter(({ lifetime, owner }) => all || lifetime === "detached" || !isRunning(owner));
  const isServer = ({ kind }: ProcessRecord) => /^(kafka|postgres)/.test(kind);
  const clients = await stopAll(chosen.filter((record) => !isServer(record)));
  return [...clients, ...(await stopAll(chosen.filter(isServer)))];
}

async function stopAll(chosen: ProcessRecord[]): Promise<string[]> {
  const running = chosen.filter(({ process: target }) => isRunning(target));
  for (const { process: target, stopSignal } of running) signal(target, stopSignal);
  await Promise.all(running.map(({ process: target }) => waitForEnd(target, 15_000)));
  for (const record of chosen) discard(record);
  return running.map(({ kind }) => kind);
}

function discard({ process: target, disposable }: ProcessRecord): void {
  killTree(target);
  removeFolders(disposable);
  rmSync(fileOf(target), { force: true });
}

function removeFolders(folders: string[]): void {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}

const fileOf = ({ pid, startedAt }: ProcessIdentity) =>
  join(recordFolder, `${pid}-${startedAt.replaceAll(/\W/g, "_")}.json`);

let watchdog: ChildProcess | undefined;

/**
 * Reads "+ pid", "! pid" (one that has others to end) and "- pid"; once we are gone, however that came, it reads the end
 * of the pipe and ends what is left.
 */
const WATCHDOG = `
without() { for p in $2; do [ "$p" = "$1" ] || printf '%s ' "$p"; done; }
pids= gentle=
while read -r op pid; do
  case $op in
    +) pids="$pids $pid" ;;
    !) gentle="$gentle $pid" ;;
    -) pids=$(without "$pid" "$pids"); gentle=$(without "$pid" "$gentle") ;;
  esac
done
for p in $gentle; do kill "$p" 2>/dev/null; done
for p in $gentle; do
  tenths=0
  while [ $tenths -lt 300 ] && kill -0 "$p" 2>/dev/null; do sleep 0.1; tenths=$((tenths + 1)); done
done
for p in $gentle $pids; do kill -9 "$p" 2>/dev/null; done
`;

function tellWatchdog(line: string): void {
  watchdog ??= startWatchdog();
  watchdog.stdin?.write(line);
}

function startWatchdog(): ChildProcess {
  const child = spawn("/bin/sh", ["-c", WATCHDOG], { stdio: ["pipe", "ignore", "ignore"], detached: true, cwd: "/" });
  child.unref();
  (child.stdin as unknown as { unref(): void }).unref();
  return child;
}

function tolerateMissing<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
